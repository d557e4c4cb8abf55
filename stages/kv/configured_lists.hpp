// Which accounts are followed by the configuration, section [repos].
//
// Owns: what each repos.mode means for the lists and for the beginning of accounts, the host whose lists are read, and
// the key in which the progress of this process stands.
// Does not know: how lists are read, and how events are applied.
#pragma once

#include "apply.hpp"
#include "recordkv/config.hpp"
#include "recordkv/stage.hpp"
#include "repair/account_lists.hpp"

#include <optional>
#include <string>

namespace recordkv::stages {

/// nullopt: the mode is "live", which reads no lists.
std::optional<lists_rules> configured_lists(const config& cfg);

beginning configured_beginning(const config& cfg);

/// The host of a firehose, as an https URL; a host that is followed by ws:// is asked by http://.
std::string lists_host_of_source(const std::string& source_url);

/// Sets the port's `load` and `save`: key `follow.{durable}` of bucket `repo`. Each process of stage kv reads the lists
/// for its own partitions, so each has a progress of its own. `ctx` outlives the port.
void keep_progress(lists_port& port, stage_context& ctx, const std::string& durable);

}  // namespace recordkv::stages
