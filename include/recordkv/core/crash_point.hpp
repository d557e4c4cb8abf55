// Points at which a test can have the process killed, as by kill -9.
//
// Owns: RECORDKV_TEST_CRASH="POINT:N": the process kills itself when it passes POINT for the Nth time.
// Does not know: what a test proves with it. Without the variable a passing costs one comparison.
#pragma once

#include <string_view>

namespace recordkv {

void crash_point(std::string_view name);

}  // namespace recordkv
