// What the tests of the C++ runtime talk to: a program that does one thing per line of its input and answers each with a line.
//
// An answer is "ok" with what was found, or "error" with the exception's text. Bytes go through files.
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <sstream>
#include <thread>

#include "json.hpp"
#include "moesaic/moesaic.hpp"
#include "sha256.hpp"
#include "uio.hpp"

using namespace moesaic;

namespace {

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(path + " is missing");
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_file(const std::string& path, const void* data, std::size_t bytes) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(data), std::streamsize(bytes));
}

template <typename Element>
void write_file(const std::string& path, const std::vector<Element>& data) {
  write_file(path, data.data(), data.size() * sizeof(Element));
}

// Registers at the other end of a socket, where the test holds a device.
class SocketRegisters : public Registers {
 public:
  explicit SocketRegisters(int descriptor) : socket_(descriptor) {}

  std::uint32_t read(std::uint32_t offset) override { return ask(0, offset, 0); }
  void write(std::uint32_t offset, std::uint32_t value) override { ask(1, offset, value); }

 private:
  std::uint32_t ask(std::uint32_t kind, std::uint32_t offset, std::uint32_t value) {
    const std::uint32_t message[3] = {kind, offset, value};
    std::uint32_t answer = 0;
    if (::send(socket_.descriptor(), message, sizeof message, MSG_NOSIGNAL) != ssize_t(sizeof message) ||
        ::recv(socket_.descriptor(), &answer, sizeof answer, MSG_WAITALL) != ssize_t(sizeof answer)) {
      throw Error("the test's device is gone");
    }
    return answer;
  }

  File socket_;
};

class Driver {
 public:
  std::string obey(std::istream& words) {
    std::string command;
    words >> command;
    if (command == "json") return Json::parse(read_file(next(words))).canonical();
    if (command == "sha256") return sha256(read_file(next(words)));
    if (command == "load") return load(words);
    if (command == "prepare") return prepare_image(words);
    if (command == "place") return place_image(words);
    if (command == "decode") return decode_output(words);
    if (command == "top") return top(words);
    if (command == "emulator") return open_library(words);
    if (command == "socket") return open(open_socket(words), words);
    if (command == "uio") return open_fake_uio(words);
    if (command == "lock") return lock(words);
    if (command == "lock_file") return default_lock_file();
    if (command == "close") return close();
    if (command == "run") return run(words);
    if (command == "whole") return run_whole(words);
    if (command == "stress") return stress(words);
    throw Error("unknown command " + command);
  }

 private:
  static std::string next(std::istream& words) {
    std::string word;
    words >> word;
    return word;
  }

  // The words: FILE HEIGHT WIDTH ROW_BYTES rgb|bgr.
  struct Image {
    std::string bytes;
    ImageView view;
  };
  static Image image(std::istream& words) {
    Image out;
    out.bytes = read_file(next(words));
    std::string order;
    words >> out.view.height >> out.view.width >> out.view.row_bytes >> order;
    out.view.order = order == "bgr" ? PixelOrder::bgr : PixelOrder::rgb;
    out.view.pixels = reinterpret_cast<const std::uint8_t*>(out.bytes.data());
    return out;
  }

  std::string load(std::istream& words) {
    build_ = Build::load(next(words));
    std::ostringstream out;
    out.precision(17);
    out << build_->name << " " << build_->fingerprint << " " << build_->image.height << " " << build_->image.width << " "
        << build_->image_offset << " " << build_->image_bytes() << " " << build_->frame_bytes << " " << build_->constants.size() << " "
        << build_->tags.size();
    for (const auto& [name, task] : build_->tasks) {
      out << ";" << name << " " << task.program.offset << " " << task.program.size << " " << task.output_offset << " " << task.height << " "
          << task.width << " " << task.stored_channels << " " << task.channels << " " << task.kind << " " << task.output_scale << " "
          << task.macs << " " << task.pooling << " " << task.grid_rows << " " << task.grid_columns << " " << task.class_names.size();
    }
    return out.str();
  }

  // The words: OUTPUT, then an image.
  std::string prepare_image(std::istream& words) {
    const std::string output = next(words);
    const Image given = image(words);
    const PreparedImage prepared = prepare(given.view, build_->input, build_->image);
    write_file(output, prepared.pixels);
    const Placement& p = prepared.placement;
    const Placement::RealBox seen = p.seen();
    std::ostringstream out;
    out.precision(17);
    out << p.source.top << " " << p.source.left << " " << p.source.height << " " << p.source.width << " " << p.resized_height << " "
        << p.resized_width << " " << p.window_top << " " << p.window_left << " " << seen.top << " " << seen.left << " " << seen.height
        << " " << seen.width;
    return out.str();
  }

  // The words: OUTPUT PIXELS.
  std::string place_image(std::istream& words) {
    const std::string output = next(words), bytes = read_file(next(words));
    write_file(output, build_->image_for_frame({bytes.begin(), bytes.end()}));
    return "";
  }

  // The words: OUTPUT TASK RAW.
  std::string decode_output(std::istream& words) {
    const std::string output = next(words), task = next(words), bytes = read_file(next(words));
    std::vector<std::int16_t> raw(bytes.size() / 2);
    std::memcpy(raw.data(), bytes.data(), bytes.size());
    const Prediction found = decode(build_->task(task), raw);
    return write(output, found);
  }

  // The words: TASK RAW COUNT.
  std::string top(std::istream& words) {
    Result result;
    result.task = build_->task(next(words));
    const std::string bytes = read_file(next(words));
    result.raw.resize(bytes.size() / 2);
    std::memcpy(result.raw.data(), bytes.data(), bytes.size());
    result.prediction = decode(result.task, result.raw);
    std::string out;
    for (const ClassScore& score : result.top(std::stoul(next(words)))) out += std::to_string(score.index) + " " + score.label + ";";
    return out;
  }

  static std::string write(const std::string& output, const Prediction& found) {
    if (found.classes.empty()) {
      write_file(output, found.values);
    } else {
      write_file(output, found.classes);
    }
    std::string out = found.classes.empty() ? "float32" : "uint8";
    for (const std::size_t side : found.shape) out += " " + std::to_string(side);
    return out;
  }

  // The words: REGISTER_SOCKET INTERRUPT_SOCKET (or -1) UDMABUF ATTRIBUTES.
  static Device open_socket(std::istream& words) {
    Device device;
    device.name = "socket";
    device.registers = std::make_unique<SocketRegisters>(::dup(std::stoi(next(words))));
    const int interrupt = std::stoi(next(words));
    if (interrupt >= 0) device.interrupt = std::make_unique<UioInterrupt>(File(::dup(interrupt)), "socket");
    const std::string path = next(words);
    device.memory = std::make_unique<UDmaBuffer>(path, next(words));
    return device;
  }

  // The words: LIBRARY MEMORY_BYTES, then options.
  std::string open_library(std::istream& words) {
    const std::string library = next(words);
    const std::size_t bytes = std::stoul(next(words));
    return open(open_emulator(library, bytes), words);
  }

  // The words: UIO UDMABUF SYS_CLASS LOCK_FILE, then options.
  std::string open_fake_uio(std::istream& words) {
    UioPaths paths;
    words >> paths.uio >> paths.udmabuf >> paths.sys_class >> paths.lock_file;
    paths.interrupt = false;
    return open(open_uio(paths), words);
  }

  std::string lock(std::istream& words) {
    lock_ = lock_device(next(words));
    return "";
  }

  // The words: TIMEOUT_MS MAX_CYCLES, both may be missing.
  std::string open(Device device, std::istream& words) {
    Options options;
    long long milliseconds = 0;
    if (words >> milliseconds) options.timeout = std::chrono::milliseconds(milliseconds);
    words >> options.max_cycles;
    Accelerator opened(*build_, std::move(device), options);
    accelerator_.emplace(std::move(opened));
    return accelerator_->uses_interrupt() ? "interrupt" : "polling";
  }

  std::string close() {
    accelerator_.reset();
    lock_.reset();
    return "";
  }

  // The words: OUTPUT TASK, then an image; writes OUTPUT.raw, OUTPUT.prediction and OUTPUT.image.
  std::string run(std::istream& words) {
    const std::string output = next(words), task = next(words);
    const Image given = image(words);
    const Result result = accelerator_->run(given.view, task);
    write_file(output + ".raw", result.raw);
    write_file(output + ".image", result.image);
    std::string out = write(output + ".prediction", result.prediction) + (accelerator_->uses_interrupt() ? ";interrupt;" : ";polling;");
    for (const Counter& counter : result.counters) out += std::string(counter.name) + " " + std::to_string(counter.value) + " ";
    return out;
  }

  // The words: OUTPUT TASK, then an image.
  std::string run_whole(std::istream& words) {
    const std::string output = next(words), task = next(words);
    const Image given = image(words);
    write_file(output, accelerator_->run_whole(given.view, task));
    return "";
  }

  // The words: THREADS RUNS, then an image. Every thread runs every pathway over and over, on the image and on a changed one, and compares
  // every byte with what a run alone gives.
  std::string stress(std::istream& words) {
    const std::size_t threads = std::stoul(next(words)), runs = std::stoul(next(words));
    const Image given = image(words);
    std::string changed_bytes = given.bytes;
    for (char& byte : changed_bytes) byte = char(~byte);
    ImageView changed = given.view;
    changed.pixels = reinterpret_cast<const std::uint8_t*>(changed_bytes.data());
    const ImageView views[] = {given.view, changed};
    struct Case {
      std::string task;
      const ImageView* view;
      Result expected;
    };
    std::vector<Case> cases;
    for (const auto& entry : build_->tasks) {
      for (const ImageView& view : views) cases.push_back({entry.first, &view, accelerator_->run(view, entry.first)});
    }
    std::atomic<std::size_t> wrong{0}, done{0};
    std::vector<std::thread> workers;
    for (std::size_t t = 0; t < threads; t++) {
      workers.emplace_back([&, t] {
        for (std::size_t i = 0; i < runs; i++) {
          const Case& one = cases[(i * 7 + t * 5) % cases.size()];
          try {
            const Result found = accelerator_->run(*one.view, one.task);
            const bool same = found.raw == one.expected.raw && found.image == one.expected.image &&
                              found.prediction.values == one.expected.prediction.values &&
                              found.prediction.classes == one.expected.prediction.classes;
            if (!same) wrong++;
          } catch (const std::exception&) {
            wrong++;
          }
          done++;
        }
      });
    }
    for (std::thread& worker : workers) worker.join();
    return std::to_string(done) + " " + std::to_string(wrong);
  }

  std::optional<Build> build_;
  std::optional<Accelerator> accelerator_;
  std::shared_ptr<void> lock_;
};

}  // namespace

int main() {
  Driver driver;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    try {
      const std::string answer = driver.obey(words);
      std::cout << "ok " << answer << std::endl;
    } catch (const Fault& fault) {
      std::cout << "error Fault " << fault.what() << std::endl;
    } catch (const Error& error) {
      std::cout << "error Error " << error.what() << std::endl;
    }
  }
}
