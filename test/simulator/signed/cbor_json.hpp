// DAG-CBOR that this simulator wrote, as JSON.
//
// Owns: the mapping of the data model.
// Does not know: CBOR from anywhere else: it aborts on what cbor_writer can't have written.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::sim {

std::string json_of(std::string_view cbor);

}  // namespace recordkv::sim
