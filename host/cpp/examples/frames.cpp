// A frame loop from which a GStreamer element or a ROS 2 node can be made: `process` is what their callbacks would call.
//
//     gst-launch-1.0 -q v4l2src ! videoconvert ! video/x-raw,format=RGB,width=640,height=480 ! fdsink |
//         moesaic_frames BUILD depth --size 640x480 > depth.f32
//     moesaic_frames BUILD depth,segmentation photograph.ppm > predictions.bin
//
// Writes the prediction of each task for each frame to standard output, row by row: one byte a pixel for segmentation and parts,
// otherwise float32 (see moesaic::Prediction). A line about each goes to standard error.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "moesaic/moesaic.hpp"

namespace {

struct Arguments {
  std::string build;
  std::vector<std::string> tasks, pictures;
  std::uint32_t width = 0, height = 0;
  std::size_t row_bytes = 0;
  moesaic::PixelOrder order = moesaic::PixelOrder::rgb;
  moesaic::UioPaths paths;
  std::string emulator;
};

constexpr const char* kUsage =
    "usage: moesaic_frames BUILD TASK[,TASK...] (PICTURE.ppm... | --size WIDTHxHEIGHT [--row-bytes N] [--bgr])\n"
    "           [--uio /dev/uio0] [--udmabuf /dev/udmabuf0] [--lock-file FILE] [--no-interrupt] [--emulator LIBRARY]\n"
    "With --size, frames of 8-bit RGB come from standard input. A row takes 3 bytes a pixel, or --row-bytes.\n";

unsigned long number(const std::string& text) {
  std::size_t end = 0;
  unsigned long value = 0;
  try {
    value = std::stoul(text, &end);
  } catch (const std::logic_error&) {
  }
  if (end == 0 || end != text.size() || text[0] == '-' || value > 0x7FFFFFFF) {
    throw moesaic::Error("'" + text + "' is no number from 0 to 2147483647; see moesaic_frames --help");
  }
  return value;
}

Arguments parse(int count, char** words) {
  Arguments out;
  std::vector<std::string> plain;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    const auto value = [&]() -> std::string {
      if (++i == count) throw moesaic::Error("option " + word + " has no value; see moesaic_frames --help");
      return words[i];
    };
    if (word == "--size") {
      const std::string size = value();
      const std::size_t cross = size.find('x');
      if (cross == std::string::npos) throw moesaic::Error("--size is " + size + ", not WIDTHxHEIGHT; see moesaic_frames --help");
      out.width = std::uint32_t(number(size.substr(0, cross)));
      out.height = std::uint32_t(number(size.substr(cross + 1)));
    } else if (word == "--row-bytes") {
      out.row_bytes = number(value());
    } else if (word == "--bgr") {
      out.order = moesaic::PixelOrder::bgr;
    } else if (word == "--uio") {
      out.paths.uio = value();
    } else if (word == "--udmabuf") {
      out.paths.udmabuf = value();
    } else if (word == "--lock-file") {
      out.paths.lock_file = value();
    } else if (word == "--no-interrupt") {
      out.paths.interrupt = false;
    } else if (word == "--emulator") {
      out.emulator = value();
    } else if (word.size() > 1 && word[0] == '-') {
      throw moesaic::Error("unknown option " + word + "; see moesaic_frames --help");
    } else {
      plain.push_back(word);
    }
  }
  if (plain.size() < 2) throw moesaic::Error("a build and a task are needed, " + std::to_string(plain.size()) + " given; see moesaic_frames --help");
  out.build = plain[0];
  std::istringstream names(plain[1]);
  for (std::string name; std::getline(names, name, ',');) out.tasks.push_back(name);
  out.pictures.assign(plain.begin() + 2, plain.end());
  if (out.pictures.empty() == (out.width == 0)) {
    throw moesaic::Error("frames come either from pictures or, with --size, from standard input; see moesaic_frames --help");
  }
  return out;
}

// A picture with its pixels.
struct Picture {
  std::vector<std::uint8_t> pixels;
  moesaic::ImageView view;
};

Picture read_ppm(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw moesaic::Error("picture " + path + " cannot be read; name a binary PPM file (P6)");
  const auto word = [&] {
    std::string out;
    while (stream >> std::ws && stream.peek() == '#') std::getline(stream, out);
    stream >> out;
    return out;
  };
  if (word() != "P6") throw moesaic::Error("picture " + path + " is no binary PPM (P6); convert it");
  Picture out;
  out.view.width = std::uint32_t(number(word()));
  out.view.height = std::uint32_t(number(word()));
  const std::string largest = word();
  if (largest != "255") throw moesaic::Error("picture " + path + " has values up to " + largest + ", 8 bits reach 255; convert it");
  stream.get();
  out.pixels.assign(std::istreambuf_iterator<char>(stream), {});
  const std::size_t needed = std::size_t(3) * out.view.width * out.view.height;
  if (out.pixels.size() < needed) {
    throw moesaic::Error("picture " + path + " has " + std::to_string(out.pixels.size()) + " bytes of pixels, it needs " +
                         std::to_string(needed) + "; it is cut off");
  }
  out.view.pixels = out.pixels.data();
  return out;
}

// The next frame from standard input; false at its end.
bool read_raw(const Arguments& arguments, Picture& frame) {
  frame.view = {nullptr, arguments.height, arguments.width, arguments.row_bytes, arguments.order};
  const std::size_t row = arguments.row_bytes != 0 ? arguments.row_bytes : std::size_t(3) * arguments.width;
  frame.pixels.resize(row * arguments.height);
  const std::size_t got = std::fread(frame.pixels.data(), 1, frame.pixels.size(), stdin);
  if (got != 0 && got < frame.pixels.size()) {
    throw moesaic::Error("standard input ended after " + std::to_string(got) + " of a frame's " + std::to_string(frame.pixels.size()) +
                         " bytes; check --size and --row-bytes");
  }
  frame.view.pixels = frame.pixels.data();
  return got != 0;
}

// A frame on its way through the accelerator. In GStreamer this is the body of a transform's `transform` function, with the mapped
// buffer as pixels and the video's stride as row_bytes; in ROS 2 it is the callback of a subscription to sensor_msgs/Image, with its
// data, height, width and step, after which `result` is published.
void process(moesaic::Accelerator& accelerator, const moesaic::ImageView& image, const std::string& task, std::size_t index) {
  const moesaic::Result result = accelerator.run(image, task);
  const moesaic::Prediction& prediction = result.prediction;
  const bool is_classes = !prediction.classes.empty();
  const std::size_t count = is_classes ? prediction.classes.size() : prediction.values.size();
  const void* data = is_classes ? static_cast<const void*>(prediction.classes.data()) : prediction.values.data();
  const std::size_t bytes = count * (is_classes ? 1 : sizeof(float));
  if (std::fwrite(data, 1, bytes, stdout) != bytes || std::fflush(stdout) != 0) {
    throw moesaic::Error("standard output takes no more than " + std::to_string(index) + " frames; make room there");
  }
  std::string shape;
  for (const std::size_t side : prediction.shape) shape += (shape.empty() ? "" : "x") + std::to_string(side);
  std::cerr << "frame " << index << " " << task << ": " << shape << (is_classes ? " uint8, " : " float32, ")
            << std::chrono::duration_cast<std::chrono::microseconds>(result.compute_time).count() << " us";
  if (result.task.kind == "classification") std::cerr << ", " << result.top(1)[0].label;
  std::cerr << "\n";
}

void run(const Arguments& arguments) {
  moesaic::Build build = moesaic::Build::load(arguments.build);
  for (const std::string& task : arguments.tasks) build.task(task);  // an unknown one is an error before the device is touched
  moesaic::Device device = arguments.emulator.empty()
                               ? moesaic::open_uio(arguments.paths)
                               : moesaic::open_emulator(arguments.emulator, moesaic::Accelerator::memory_bytes(build));
  moesaic::Accelerator accelerator(std::move(build), std::move(device));
  const auto every_task = [&](const moesaic::ImageView& image, std::size_t index) {
    for (const std::string& task : arguments.tasks) process(accelerator, image, task, index);
  };
  if (arguments.width != 0) {
    Picture frame;
    for (std::size_t index = 0; read_raw(arguments, frame); index++) every_task(frame.view, index);
  } else {
    for (std::size_t index = 0; index < arguments.pictures.size(); index++) every_task(read_ppm(arguments.pictures[index]).view, index);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count == 2 && std::string(words[1]) == "--help") {
    std::cout << kUsage;
    return 0;
  }
  try {
    run(parse(count, words));
  } catch (const std::exception& error) {
    std::cerr << "moesaic_frames: " << error.what() << "\n";
    return 2;
  }
  return 0;
}
