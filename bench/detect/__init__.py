"""The published defences beside hessay: cases with known truth, contenders, their summary."""
