// The short form of a fuzz target, without libFuzzer: the committed seeds, and small damages of each, made from a fixed
// number. It runs with every `./dev test`; `./dev fuzz` looks for new inputs.
//
// Owns: reading the seeds, damaging them, counting. Does not know: what a target demands.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int damages_of_each = 300;

void run(const std::string& input) {
  // A buffer of exactly that size: a read beyond it is seen by the sanitizer.
  const std::vector<std::uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::string damaged(std::string s, std::mt19937& chance) {
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(chance); };
  for (auto times = 1 + below(3); times > 0 && !s.empty(); --times) {
    const auto at = below(s.size() - 1);
    switch (below(4)) {
      case 0: s[at] = static_cast<char>(below(255)); break;
      case 1: s[at] = static_cast<char>(s[at] ^ (1 << below(7))); break;
      case 2: s.erase(at, 1 + below(8)); break;
      case 3: s.insert(at, s.substr(below(s.size() - 1), below(16))); break;
      default: s.resize(at); break;
    }
  }
  return s;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::vector<std::filesystem::path> files;
  for (const auto& e : std::filesystem::directory_iterator(argv[1])) files.push_back(e.path());
  std::sort(files.begin(), files.end());
  std::mt19937 chance(20);
  int inputs = 0;
  for (const auto& f : files) {
    std::ifstream in(f, std::ios::binary);
    const std::string seed(std::istreambuf_iterator<char>(in), {});
    run(seed);
    for (int i = 0; i < damages_of_each; ++i, ++inputs) run(damaged(seed, chance));
  }
  std::printf("%zu seeds, %d damaged inputs: no complaint\n", files.size(), inputs);
  std::printf("%d passed, 0 failed\n", files.empty() ? 0 : 1);
  return files.empty() ? 1 : 0;
}
