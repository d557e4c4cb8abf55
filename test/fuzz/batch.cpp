// Any bytes as a message of the buffer: what is read as a batch is exactly what append_frame() would have written. And
// their lines as the frames of a batch, which come back.
#include "recordkv/kv/frame_batch.hpp"

#include "property.hpp"

using namespace recordkv;
using namespace recordkv::kv;

namespace {

std::string batch_of(const std::vector<batched_frame>& frames) {
  std::string batch;
  for (const auto& f : frames) append_frame(batch, f);
  return batch;
}

void reads_only_what_is_written(std::string_view payload) {
  const auto frames = frames_in(payload);
  if (!is_batch(payload)) {
    DEMAND(frames.has_value() && frames->size() == 1 && frames->front().bytes == payload);
    return;
  }
  if (!frames) return;
  DEMAND(!frames->empty() && frames->size() <= max_batch_frames);
  for (const auto& f : *frames) DEMAND(!f.bytes.empty());
  DEMAND(batch_of(*frames) == payload);
}

std::vector<batched_frame> lines_of(std::string_view text) {
  std::vector<batched_frame> lines;
  while (!text.empty() && lines.size() < max_batch_frames) {
    const auto line = text.substr(0, text.find('\n'));
    if (!line.empty()) lines.push_back({.seq = line.size() * 0x0123'4567'89AB, .bytes = line});
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto all = fuzz::text(data, size);
  reads_only_what_is_written(all);
  const auto lines = lines_of(all);
  if (lines.empty()) return 0;
  const auto batch = batch_of(lines);
  const auto back = frames_in(batch);
  DEMAND(back.has_value() && back->size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i)
    DEMAND((*back)[i].seq == lines[i].seq && (*back)[i].bytes == lines[i].bytes);
  return 0;
}
