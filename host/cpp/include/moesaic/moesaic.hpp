// The C++ runtime of moesaic: opens a build (the directory that `moesaic generate` writes) and runs its tasks on an accelerator.
//
//     moesaic::Accelerator accelerator(moesaic::Build::load("build"), moesaic::open_uio());
//     moesaic::Result result = accelerator.run({pixels, height, width}, "depth");
//
// It needs C++17, POSIX and nothing else. Results have the same integers as the Python runtime's; docs/cpp_runtime.md says more.
#ifndef MOESAIC_MOESAIC_HPP
#define MOESAIC_MOESAIC_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace moesaic {

// Something that the user can put right: one line that names the thing, the numbers and the remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The accelerator stopped a run. It can make the next one.
class Fault : public Error {
 public:
  Fault(std::string task, std::string layer, std::string cause, std::string unit, std::uint32_t tag, const std::string& detail);

  std::string task;   // as it was asked for, with its pathway
  std::string layer;  // of the faulting instruction
  std::string cause;  // such as TIMEOUT: a name of moesaic.spec.isa.Fault
  std::string unit;   // load, store, matmul, vector, route or fetch
  std::uint32_t tag;  // of the faulting instruction
};

struct Size {
  std::uint32_t height = 0, width = 0;  // pixels
};

// --- Images -----------------------------------------------------------------------------------------------------------------------

enum class PixelOrder { rgb, bgr };

// An image that belongs to the caller: 8 bits per channel, three channels, 1 to 16,384 pixels a side.
struct ImageView {
  const std::uint8_t* pixels = nullptr;
  std::uint32_t height = 0, width = 0;
  std::size_t row_bytes = 0;  // from one row to the next; 0 if the rows follow one another without a gap
  PixelOrder order = PixelOrder::rgb;
};

// What a network's image is, and how an image gets to its size. See moesaic.spec.input_description.InputDescription.
struct InputDescription {
  std::array<double, 3> mean, deviation;  // of the network's input; the accelerator takes pixels, so preparing needs neither
  std::string resize;                     // auto, crop, pad or stretch
  double crop_ratio = 1;
  std::string pad_side;                   // both or end
  std::array<std::uint8_t, 3> padding;    // RGB of what surrounds a padded image
  std::string interpolation;              // linear or cubic

  InputDescription();
};

// Which part of an image a network sees: the box `source` is resized to `resized`, of which the network sees `size` from row and
// column `window` on; beyond the edges there is padding. See moesaic.spec.placement.Placement.
struct Placement {
  struct Box {
    std::int64_t top = 0, left = 0, height = 0, width = 0;  // pixels
  };
  struct RealBox {
    double top = 0, left = 0, height = 0, width = 0;  // pixels
  };

  Size image;                       // of the given image
  Box source;                       // in the image
  std::int64_t resized_height = 0, resized_width = 0;
  std::int64_t window_top = 0, window_left = 0;
  Size size;                        // of the network's image

  Box filled() const;   // the part of the network's image that is no padding
  RealBox seen() const;  // the part of the given image that the network sees
};

struct PreparedImage {
  std::vector<std::uint8_t> pixels;  // RGB, row by row
  Placement placement;
};

// What a network of this size sees of an image: the same integers as moesaic.spec.resize.fit. Throws Error for an image without pixels
// or with a side above 16,384.
PreparedImage prepare(const ImageView& image, const InputDescription& input, Size size);

// --- Builds -----------------------------------------------------------------------------------------------------------------------

// A part of a window, in bytes.
struct Extent {
  std::uint32_t offset = 0, size = 0;
};

// What a task's output means. See moesaic.spec.output_description.OutputDescription.
struct OutputDescription {
  bool logarithmic = true;      // depth: ln(depth / unit), otherwise depth / unit
  double metres_per_unit = 0;   // of depth
  std::array<std::array<double, 3>, 3> axes;  // rotates normals so that x points right, y down, z into the picture
  std::string decoding;         // of a dense output: classes, probabilities, metres, directions or values; otherwise the kind

  OutputDescription();
};

// A task on one of its pathways.
struct Task {
  std::string name;               // TASK, or TASK@ALTERNATIVE for a pathway other than the default
  Extent program;                 // in the constant window
  std::uint32_t output_offset = 0;  // bytes from the start of the frame window
  std::uint32_t height = 0, width = 0, stored_channels = 0, channels = 0;  // of the output, int16
  std::string kind;               // segmentation, parts, saliency, edges, depth, normals, classification, features or a user's own
  double output_scale = 0;        // value of one unit of the output
  std::uint64_t macs = 0;         // multiply-accumulates per frame
  std::string pooling;            // of a classification
  std::vector<std::string> class_names;
  std::uint32_t grid_rows = 0, grid_columns = 0;  // of features: the patches, whose tokens are the last ones
  OutputDescription output;
};

struct Build {
  // Reads a build and checks every hash, the fingerprint and every place in memory, as Python's load_build does. Throws Error.
  static Build load(const std::string& directory);

  // The task of this name, TASK or TASK@ALTERNATIVE; throws Error that lists the known ones.
  const Task& task(std::string_view name) const;

  // Bytes that the image takes in the frame window.
  std::uint64_t image_bytes() const;

  // The image as the accelerator takes it: image_bytes() bytes for the place image_offset of the frame window.
  std::vector<std::uint8_t> image_for_frame(const std::vector<std::uint8_t>& pixels) const;

  // A task's output from a frame window after a run, int16, row by row without the channels that only fill up.
  std::vector<std::int16_t> read_output(const std::uint8_t* frame, const Task& task) const;

  std::string directory;
  std::string name;
  std::string fingerprint;  // 16 hexadecimal digits
  Size image;               // of the network
  std::uint32_t image_offset = 0, image_patch = 0, image_pitch = 0;
  std::uint32_t frame_bytes = 0;
  InputDescription input;
  std::map<std::string, Task, std::less<>> tasks;  // every pathway of every task
  std::vector<std::string> tags;                   // name of each instruction tag
  std::vector<std::uint8_t> constants;             // programs and weights
};

// --- Predictions ------------------------------------------------------------------------------------------------------------------

// A prediction in its own terms, row by row. See moesaic.spec.predictions.decode.
struct Prediction {
  std::vector<std::size_t> shape;
  // classes (segmentation, parts): the class of each pixel, (height, width). Empty for other decodings.
  std::vector<std::uint8_t> classes;
  // metres (depth): (height, width). probabilities (saliency, edges) and values: (height, width), or (height, width, channels) if there
  // are several. directions (normals): unit vectors (height, width, 3), x right, y down, z into the picture. classification:
  // probabilities (classes). features: tokens (tokens, channels). Otherwise empty.
  std::vector<float> values;
};

// Integers are exact. Floats are computed in double and rounded once, so they differ from Python's by at most one unit in the last
// place, where the C library's exp and numpy's differ. raw: as Build::read_output returns it.
Prediction decode(const Task& task, const std::vector<std::int16_t>& raw);

struct ClassScore {
  std::size_t index;
  std::string label;
  float probability;
};

struct Counter {
  std::string_view name;  // see moesaic.spec.registers.COUNTERS
  std::uint32_t value;
};

struct Result {
  // The most probable classes of a classification, of equal ones the lowest first. Throws Error for any other kind.
  std::vector<ClassScore> top(std::size_t count = 5) const;

  Task task;
  std::vector<std::uint8_t> image;  // what the network saw, RGB, row by row
  Placement placement;
  std::vector<std::int16_t> raw;  // (height, width, channels), in units of the task's output_scale
  Prediction prediction;
  std::vector<Counter> counters;
  std::chrono::nanoseconds compute_time{};  // from the start of the run to its end, by the processor's clock
};

// --- Devices ----------------------------------------------------------------------------------------------------------------------

// The accelerator's 32-bit control registers, by their offset in bytes.
class Registers {
 public:
  virtual ~Registers() = default;
  virtual std::uint32_t read(std::uint32_t offset) = 0;
  virtual void write(std::uint32_t offset, std::uint32_t value) = 0;
};

// The accelerator's interrupt.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  // Let the next one through; false if the system delivers none.
  virtual bool arm() = 0;
  // Whether one came in time. It may be an old one: what counts is STATUS.
  virtual bool wait(std::chrono::milliseconds longest) = 0;
};

// Contiguous memory that processor and accelerator share.
class DmaBuffer {
 public:
  virtual ~DmaBuffer() = default;
  virtual std::uint8_t* data() = 0;
  virtual std::size_t size() const = 0;
  virtual std::uint64_t physical_address() const = 0;
  // Makes what the processor has written visible to the accelerator, and the other way round. offset, bytes: of the part concerned.
  virtual void sync_for_device(std::size_t offset, std::size_t bytes) = 0;
  virtual void sync_for_cpu(std::size_t offset, std::size_t bytes) = 0;
};

struct Device {
  std::string name;  // for errors
  std::unique_ptr<Registers> registers;
  std::unique_ptr<DmaBuffer> memory;
  std::unique_ptr<Interrupt> interrupt;  // may be null: STATUS is polled
  std::shared_ptr<void> lock;            // what keeps others away from the device; may be null
};

// Where the parts of a device are.
struct UioPaths {
  std::string uio = "/dev/uio0";          // the accelerator's registers and interrupt
  std::string udmabuf = "/dev/udmabuf0";  // memory from u-dma-buf
  std::string sys_class = "/sys/class";   // holds uio/ and u-dma-buf/
  std::string lock_file;                  // empty for the file that the Python runtime locks
  bool interrupt = true;                  // false: STATUS is polled
};

// An accelerator whose bitstream is loaded, through the kernel's UIO and u-dma-buf. Throws Error if a part is missing, another process
// has the device, or it is not accessible.
Device open_uio(const UioPaths& paths = {});

// The accelerator's C++, compiled as a shared library, in place of a board; see docs/cpp_runtime.md. memory_bytes: of its DRAM.
Device open_emulator(const std::string& library, std::size_t memory_bytes);

// --- The runtime ------------------------------------------------------------------------------------------------------------------

struct Options {
  Options();

  std::uint32_t max_cycles;                      // the accelerator stops a longer run; 0 for no limit
  std::chrono::milliseconds timeout{10'000};     // the processor stops a longer run
};

// A build on a device. Any thread may call run at any time: images are prepared and outputs decoded side by side, and the accelerator
// takes the runs in the order in which their images are ready. It must not be destroyed or moved while a call is under way.
class Accelerator {
 public:
  // Stops what an earlier program left running, and copies the constants to the device. Throws Error if the device is of another
  // configuration or has too little memory.
  Accelerator(Build build, Device device, Options options = {});
  ~Accelerator();
  Accelerator(Accelerator&&) noexcept;
  Accelerator& operator=(Accelerator&&) noexcept;

  const Build& build() const;

  // Whether runs wait for the interrupt; otherwise STATUS is polled.
  bool uses_interrupt() const;

  // Runs a task, TASK or TASK@ALTERNATIVE, on an image of any size. Throws Error for an unknown task or an unfit image, and Fault if
  // the accelerator stops or is stopped, after which it can run again. An Error also tells if it cannot be stopped.
  Result run(const ImageView& image, std::string_view task);

  // Runs a task in a frame window whose bytes have all been set to `pattern` before, and returns all of the window.
  std::vector<std::uint8_t> run_whole(const ImageView& image, std::string_view task, std::uint8_t pattern = 0xA5);

  // Bytes of contiguous memory that a build needs on a device whose memory begins on a page.
  static std::size_t memory_bytes(const Build& build);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace moesaic

#endif
