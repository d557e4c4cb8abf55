#include "progress.hpp"

#include "output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace recordkv::cli {
namespace {

constexpr std::size_t width = 40;
constexpr std::chrono::seconds between_lines{5};

}  // namespace

progress::~progress() {
  if (drawn_) write_error("\r\x1b[K");
}

void progress::show(double part, std::string_view words) {
  part = std::clamp(part, 0.0, 1.0);
  const auto now = std::chrono::steady_clock::now();
  if (isatty(STDERR_FILENO) != 0) {
    const auto filled = static_cast<std::size_t>(part * width);
    write_error("\r\x1b[K{} [{}{}] {:3.0f} %  {}", what_, std::string(filled, '#'), std::string(width - filled, '.'),
                part * 100, words);
    drawn_ = true;
  } else if (now - shown_ >= between_lines) {
    write_error("{} {:.0f} %  {}\n", what_, part * 100, words);
    shown_ = now;
  }
}

}  // namespace recordkv::cli
