// Stream `ingest`, the buffer between the stages `ingest` and `kv`, as the configuration wants it.
#pragma once

#include "recordkv/nats/jetstream.hpp"
#include "recordkv/stage.hpp"

namespace recordkv::stages {

/// Makes the stream where it is absent, and compares its settings where it is not: errc::mismatch.
/// Its writer and its reader both call this.
task<result<nats::ensured>> open_ingest_stream(stage_context& ctx);

}  // namespace recordkv::stages
