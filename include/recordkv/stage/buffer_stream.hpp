// Stream `ingest`, the buffer between the stages `ingest` and `kv`, with its configured settings.
//
// Owns: the settings of the stream. Does not know: its messages.
#pragma once

#include "recordkv/nats/jetstream.hpp"
#include "recordkv/stage.hpp"

namespace recordkv::stages {

/// Makes the stream if it is absent, otherwise compares its settings: errc::mismatch. Its writer and its reader both
/// call this.
task<result<nats::ensured>> open_ingest_stream(stage_context& ctx);

}  // namespace recordkv::stages
