#pragma once
#include <cstdint>

/// The part of the DLPack ABI (versions 0 and 1) that an importer needs. The layout is fixed by the specification,
/// https://dmlc.github.io/dlpack/latest/c_api.html, so it is declared here instead of vendored.
namespace hessay::dlpack {

constexpr std::int32_t kCpu = 1;
constexpr std::uint8_t kSignedInt = 0;
constexpr std::uint8_t kFloat = 2;
constexpr std::uint64_t kReadOnly = 1;

struct Version {
    std::uint32_t major;
    std::uint32_t minor;
};
struct Device {
    std::int32_t device_type;
    std::int32_t device_id;
};
struct DataType {
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
};
struct Tensor {
    void* data;
    Device device;
    std::int32_t ndim;
    DataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};
struct Managed {
    Tensor tensor;
    void* manager_context;
    void (*deleter)(Managed*);
};
struct ManagedVersioned {
    Version version;
    void* manager_context;
    void (*deleter)(ManagedVersioned*);
    std::uint64_t flags;
    Tensor tensor;
};

static_assert(sizeof(DataType) == 4 && sizeof(Device) == 8, "DLPack fixes these sizes");
static_assert(sizeof(void*) != 8 || (sizeof(Tensor) == 48 && sizeof(Managed) == 64 && sizeof(ManagedVersioned) == 80),
              "DLPack fixes these sizes on 64-bit machines");

} // namespace hessay::dlpack
