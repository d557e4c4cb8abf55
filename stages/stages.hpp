// What the stages' files share: their makers, and the two things more than one of them needs.
//
// Owns: declarations only. Refuses to know: any stage's inside.
#pragma once

#include "recordkv/core/health.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/stage.hpp"
#include "recordkv/view/plan.hpp"

#include <memory>
#include <string>

namespace recordkv::stages {

result<std::unique_ptr<stage>> make_ingest(stage_context& ctx);
result<std::unique_ptr<stage>> make_kv(stage_context& ctx);
result<std::unique_ptr<stage>> make_index(stage_context& ctx);

/// The views of index.views, all files; errc::bad_config names file and line.
result<std::vector<view::plan>> configured_views(const config& cfg);

/// Stream `ingest` as configured: made where it is absent, checked where it is not. Both its writer and its reader need
/// it.
task<result<nats::ensured>> open_ingest_stream(stage_context& ctx);

/// The part of every report that says how it is: `,"state":"running"` or stalled with reason and since, and what was
/// left out or skipped (counters whose name begins with `prefix` and that have a reason).
std::string report_tail(const health& h, const meters& counters, std::string_view prefix);

}  // namespace recordkv::stages
