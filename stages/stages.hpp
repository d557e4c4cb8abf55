// The makers of the stages: all that is known of a stage outside its folder.
#pragma once

#include "recordkv/stage.hpp"

#include <memory>

namespace recordkv::stages {

/// Each checks its part of the configuration: errc::bad_config. Nothing is read from NATS before run().
result<std::unique_ptr<stage>> make_ingest(stage_context& ctx);
result<std::unique_ptr<stage>> make_kv(stage_context& ctx);
result<std::unique_ptr<stage>> make_index(stage_context& ctx);

}  // namespace recordkv::stages
