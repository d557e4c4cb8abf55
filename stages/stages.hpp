// What the stages' files share: their makers, and the two things more than one of them needs.
//
// Owns: declarations only. Refuses to know: any stage's inside.
#pragma once

#include "recordkv/kv/owner.hpp"
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

/// The files that index.views names, each once, "builtin:NAME" for one that ships; errc::bad_config: a pattern that
/// none matches.
result<std::vector<std::string>> view_files(const config& cfg);

/// The views of a file, or of "builtin:NAME".
result<std::vector<view::plan>> plans_of_file(const std::string& name);

/// The views of index.views, all files, no two of which want the same table; errc::bad_config names file and line.
result<std::vector<view::plan>> configured_views(const config& cfg);

/// Stream `ingest` as configured: made where it is absent, checked where it is not. Both its writer and its reader need
/// it.
task<result<nats::ensured>> open_ingest_stream(stage_context& ctx);

/// What a stage claims of the partitions, as `assign` says it; errc::bad_config names the key.
result<kv::claim> claim_of(std::string base, std::string_view assign, const config& cfg);

/// Removes the durables of an earlier division that overlap `mine`, whose lock is held: nobody runs them any more.
task<result<void>> remove_left_durables(nats::connection& nc, std::string stream, kv::claim mine);

}  // namespace recordkv::stages
