"""The history as pages: read-only, for browsers and for Prometheus."""

from hessay.serve.app import build_app

__all__ = ["build_app"]
