// The signing keys for `frames`: from a file of DID documents, or looked up and kept for the time of the command.
//
// Owns: the form of the file, the keys in memory, when one is looked up again.
// Does not know: frames, and how a key is looked up.
#pragma once

#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace recordkv::cli {

using key_answer = result<atproto::public_key>;

/// Keys from a file, each with the number from which it holds.
class key_file {
 public:
  /// A JSON array of DID documents; or an object from DID to a document, or to an array of {fromSeq, doc}.
  /// errc::bad_config: it cannot be read, or has another form. A document without a usable key is kept as such.
  static result<key_file> open(const std::string& path);

  /// The account's key at `seq`. errc::not_found; errc::malformed: its document has no usable key.
  key_answer find(std::string_view did, std::uint64_t seq) const;

 private:
  struct version {
    std::uint64_t from_seq;
    key_answer key;
  };
  std::map<std::string, std::vector<version>, std::less<>> keys_;
};

/// Keys that are looked up. One thread: the loop's.
class key_cache {
 public:
  using look_up = std::function<task<key_answer>(std::string did)>;
  using clock = std::chrono::steady_clock;

  explicit key_cache(look_up ask) : ask_(std::move(ask)) {}

  /// The kept answer, or a new one. Look-ups that failed for want of an answer are not kept.
  task<key_answer> find(std::string did);
  /// The document may have changed.
  void forget(const std::string& did) { known_.erase(did); }
  /// After a bad signature: forgets the key, unless it has just been looked up.
  bool forget_if_old(const std::string& did);

 private:
  struct entry {
    key_answer key;
    clock::time_point asked;
  };
  look_up ask_;
  std::unordered_map<std::string, entry> known_;
};

}  // namespace recordkv::cli
