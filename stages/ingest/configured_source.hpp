// Makes the configured source, and the name under which its cursor is kept.
//
// Owns: the mapping of section [source]. Does not know: what is read.
#pragma once

#include "recordkv/core/source_position.hpp"
#include "recordkv/firehose/source.hpp"
#include "recordkv/stage.hpp"

#include <memory>
#include <optional>
#include <string>

namespace recordkv::stages {

/// The name of a source, the same for all spellings of its address. Numbers of one host mean nothing at another.
struct source_key {
  std::string kind;
  std::string name;  ///< "{kind}.{enc(host)}": host, port and path, without what the scheme and the kind imply
  std::string url;   ///< the same for people; as a header it marks a key that was written under this rule
  bool tls = true;

  /// True for a key that an earlier version may have used for this source: kind and host as they were spelled.
  bool was(std::string_view key) const;
};

source_key key_of_source(const config& cfg);

/// Reads on after `at`; nullopt: from source.start.
std::unique_ptr<firehose::frame_source> make_source(stage_context& ctx, std::optional<source_position> at);

}  // namespace recordkv::stages
