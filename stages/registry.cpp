// The table of stages, in the order in which data passes them.
#include "stages.hpp"

namespace recordkv {

std::span<const stage_entry> builtin_stages() {
  static constexpr stage_entry table[] = {
      {"ingest", stages::make_ingest, "follow the network: source -> stream ingest"},
      {"kv", stages::make_kv, "build the store: stream ingest -> bucket record"},
      {"index", stages::make_index, "keep the views: bucket record -> database"},
  };
  return table;
}

}  // namespace recordkv
