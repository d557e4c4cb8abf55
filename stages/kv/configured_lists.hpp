// Which accounts are followed by the configuration, section [repos].
//
// Owns: what each repos.mode means for the lists and for the beginning of accounts, and the host whose lists are read.
// Does not know: how lists are read, and how events are applied. Pure.
#pragma once

#include "account_lists.hpp"
#include "apply.hpp"
#include "recordkv/config.hpp"

#include <optional>
#include <string>

namespace recordkv::stages {

/// nullopt: the mode is "live", which reads no lists.
std::optional<lists_rules> configured_lists(const config& cfg);

beginning configured_beginning(const config& cfg);

/// The host of a firehose, as an https URL; a host that is followed by ws:// is asked by http://.
std::string lists_host_of_source(const std::string& source_url);

}  // namespace recordkv::stages
