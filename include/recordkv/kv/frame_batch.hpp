// The frames of a message of the buffer: one as it came, or a batch of several (docs/subjects.md draws the bytes).
//
// Owns: the bytes of a batch, written and read, and which payload is one.
// Does not know: what a frame is, headers, and which frames share a message. Pure.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

/// One frame of a message. The view is into the payload.
struct batched_frame {
  std::uint64_t seq = 0;  ///< its number at the source, or that of the event before it; 0: the message's header has it
  std::string_view bytes;
};

/// The most frames that a batch may hold. A reader refuses more.
constexpr std::size_t max_batch_frames = 256;
/// By how many bytes a batch grows with each frame, beside the frame, and the bytes of an empty batch.
constexpr std::size_t batched_frame_overhead = 12, empty_batch_bytes = 1;

/// Appends a frame. `batch` is empty or was written by this function. Precondition: the frame is not empty and shorter
/// than 4 GiB, and the batch holds fewer than max_batch_frames.
void append_frame(std::string& batch, batched_frame f);

/// The first byte tells a batch from a bare frame and from JSON.
bool is_batch(std::string_view payload) noexcept;

/// The message's frames in their order, at least one. What is no batch is one frame. errc::malformed: the lengths of a
/// batch don't add up to its own, a frame is empty, or there are more than max_batch_frames.
result<std::vector<batched_frame>> frames_in(std::string_view payload);

}  // namespace recordkv::kv
