// Places where a test may have this process killed, as by kill -9.
//
// Owns: RECORDKV_TEST_CRASH="POINT:N": the process kills itself at the Nth passing of POINT.
// Refuses to know: what is proved by it. Without the variable a passing costs one comparison.
#pragma once

#include <string_view>

namespace recordkv {

void crash_point(std::string_view name);

}  // namespace recordkv
