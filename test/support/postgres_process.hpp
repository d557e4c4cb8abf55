// A real PostgreSQL of a test's own, on a unix socket in a temporary directory.
//
// Owns: the server's processes and directory; both go with the object, and the server also with the test program.
// Does not know: what is stored in it. Programs: RECORDKV_POSTGRES_BIN, or Debian's newest below /usr/lib/postgresql.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace recordkv::test {

class postgres_process {
 public:
  postgres_process();
  ~postgres_process();
  postgres_process(const postgres_process&) = delete;

  std::string url() const { return url("recordkv"); }
  std::string url(std::string_view user) const;
  std::filesystem::path directory() const { return directory_; }

  /// What `psql -At` prints, without the last newline; the test fails where it fails.
  std::string sql(const std::string& text) const;
  /// The same where it may fail: its exit code. Another thread may run it.
  int try_sql(const std::string& text, std::string* said = nullptr) const;

  void kill_9();  ///< the server and its backends, at once
  void start();   ///< again, on the same directory
  void pause();   ///< every backend stands still; connections stay
  void resume();

 private:
  int spawn(std::vector<std::string> words, const std::filesystem::path& out) const;
  int wait_for_end(int pid) const;
  std::vector<int> backends() const;

  std::filesystem::path binaries_, directory_;
  int pid_ = 0;
};

}  // namespace recordkv::test
