// The file of a reader that keeps its own position: the last whole line is the position.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

inline std::ofstream open_at_whole_line(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  if (const auto whole = text.rfind('\n') + 1; whole < text.size()) std::filesystem::resize_file(path, whole);
  return std::ofstream(path, std::ios::app | std::ios::binary);
}

/// Nothing if the file has no line. The feed then finds where to begin.
inline std::optional<std::uint64_t> position_of(const std::string& path) {
  open_at_whole_line(path).close();
  std::ifstream in(path);
  std::optional<std::uint64_t> last;
  for (std::string line; std::getline(in, line);) last = std::strtoull(line.c_str(), nullptr, 10);
  return last;
}
