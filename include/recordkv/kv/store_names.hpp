// The names of a store's NATS objects; all of them follow from the bucket's name.
//
// Owns: those names. The store "record" has the plain ones. Every other store puts its bucket's name before them, so
// that several stores can share one NATS account.
// Does not know: whether the objects exist.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

class store_names {
 public:
  store_names(std::string bucket) : bucket_(std::move(bucket)) {}  // NOLINT: the bucket's name says all
  store_names(const char* bucket) : bucket_(bucket) {}             // NOLINT

  const std::string& bucket() const noexcept { return bucket_; }
  std::string store() const { return stream_of(bucket_); }       ///< stream KV_record
  std::string prefix() const { return "$KV." + bucket_ + "."; }  ///< of the subjects of its keys

  std::string buffer() const { return own("ingest"); }  ///< the stream between source and store
  std::string buffer_subject(std::string_view partition) const { return buffer() + "." + std::string(partition); }

  std::string repo() const { return own("repo"); }  ///< bucket of the accounts' states, and key `meta`
  std::string cursor() const { return own("cursor"); }
  std::string lock() const { return own("lock"); }

  /// Every stream that recordkv may make for this store. `repo` is the last: its key `meta` says what was made.
  std::vector<std::string> streams() const {
    return {store(), buffer(), stream_of(cursor()), stream_of(lock()), stream_of(repo())};
  }

  static std::string stream_of(std::string_view bucket) { return "KV_" + std::string(bucket); }

  bool operator==(const store_names&) const = default;

 private:
  std::string own(std::string_view what) const {
    return bucket_ == "record" ? std::string(what) : bucket_ + "_" + std::string(what);
  }

  std::string bucket_;
};

}  // namespace recordkv::kv
