// From the configuration to a source, and to the name under which its cursor is kept.
//
// Owns: the mapping of section [source]. Refuses to know: what is read.
#pragma once

#include "recordkv/firehose/source.hpp"
#include "recordkv/stage.hpp"

#include <memory>
#include <optional>
#include <string>

namespace recordkv::stages {

/// "{kind}.{enc(host)}": numbers of one host mean nothing at another.
std::string source_name(const config& cfg);

/// Reads on behind `at`; nullopt: from where source.start says.
std::unique_ptr<firehose::frame_source> make_source(stage_context& ctx, std::optional<std::uint64_t> at);

}  // namespace recordkv::stages
