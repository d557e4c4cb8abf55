#include "recordkv/kv/frame_origin.hpp"

#include "recordkv/core/parse_number.hpp"

#include <fmt/format.h>

namespace recordkv::kv {
namespace {

std::string_view take_word(std::string_view& text) {
  const auto word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size() < text.size() ? word.size() + 1 : word.size());
  return word;
}

}  // namespace

std::string text_of(const frame_origin& o) {
  return fmt::format("{} {} {}{}", o.source, o.epoch, o.seq, o.late ? " late" : "");
}

frame_origin read_origin(const std::function<std::string_view(const char* name)>& header) {
  auto text = header(origin_header);
  if (text.empty())
    return {.source = std::string(header("source")),
            .epoch = std::string(header("epoch")),
            .seq = parse_number<std::uint64_t>(header("seq")).value_or(0),
            .late = !header("late").empty()};
  const auto source = take_word(text), epoch = take_word(text);
  const auto seq = parse_number<std::uint64_t>(take_word(text));
  if (source.empty() || !seq) return {};
  return {.source = std::string(source), .epoch = std::string(epoch), .seq = *seq, .late = text == "late"};
}

}  // namespace recordkv::kv
