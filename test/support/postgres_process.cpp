#include "postgres_process.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace recordkv::test {
namespace fs = std::filesystem;
namespace {

fs::path find_binaries() {
  if (const char* const named = std::getenv("RECORDKV_POSTGRES_BIN")) return named;
  fs::path newest;
  int version = 0;
  std::error_code none;
  for (const auto& one : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const int v = std::atoi(one.path().filename().c_str());
    if (v > version && fs::exists(one.path() / "bin/postgres"))
      std::tie(version, newest) = std::pair(v, one.path() / "bin");
  }
  if (newest.empty()) FAIL("no PostgreSQL server: ./dev setup installs one, or set RECORDKV_POSTGRES_BIN");
  return newest;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

constexpr auto settings =
    "listen_addresses = ''\nfsync = off\nfull_page_writes = off\nshared_buffers = 64MB\nmax_connections = 40\n"
    "max_wal_size = 2GB\nautovacuum_naptime = 5s\n";

}  // namespace

postgres_process::postgres_process() : binaries_(find_binaries()) {
  const auto parent = fs::temp_directory_path();
  // A socket's path has at most 107 letters.
  std::string name = ((parent.native().size() < 60 ? parent : fs::path("/tmp")) / "rkv-pg-XXXXXX").string();
  if (!::mkdtemp(name.data())) FAIL("no temporary directory " << name);
  directory_ = name;
  if (::geteuid() == 0) {  // PostgreSQL refuses to run as root
    const auto* const nobody = ::getpwnam("nobody");
    if (nobody == nullptr || ::chown(name.c_str(), nobody->pw_uid, nobody->pw_gid) != 0) FAIL("no user nobody");
  }
  const int made =
      spawn({"initdb", "-D", name + "/data", "-U", "recordkv", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"},
            directory_ / "initdb.log");
  if (wait_for_end(made) != 0) FAIL("initdb: " << text_of(directory_ / "initdb.log"));
  std::ofstream(directory_ / "data/postgresql.conf", std::ios::app)
      << settings << "unix_socket_directories = '" << name << "'\n";
  start();
}

postgres_process::~postgres_process() {
  kill_9();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::string postgres_process::url(std::string_view user) const {
  return fmt::format("postgresql:///postgres?host={}&user={}", directory_.string(), user);
}

int postgres_process::spawn(std::vector<std::string> words, const fs::path& out) const {
  words[0] = (binaries_ / words[0]).string();
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  const auto* const nobody = ::geteuid() == 0 ? ::getpwnam("nobody") : nullptr;
  const int parent = ::getpid();
  const int pid = ::fork();
  if (pid != 0) return pid;
  const int log = ::open(out.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666);
  ::dup2(log, 1);
  ::dup2(log, 2);
  if (nobody != nullptr &&
      (::setgroups(0, nullptr) != 0 || ::setgid(nobody->pw_gid) != 0 || ::setuid(nobody->pw_uid) != 0))
    ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which would take it back
  if (::getppid() != parent || ::chdir(directory_.c_str()) != 0) ::_exit(1);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

int postgres_process::wait_for_end(int pid) const {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void postgres_process::start() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < until) {
    pid_ = spawn({"postgres", "-D", (directory_ / "data").string()}, directory_ / "log");
    while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
      const int asked = spawn({"pg_isready", "-q", "-h", directory_.string()}, "/dev/null");
      if (wait_for_end(asked) == 0) return;
      ::poll(nullptr, 0, 20);
    }
    ::poll(nullptr, 0, 50);  // a killed one's shared memory is still in use for a moment
  }
  pid_ = 0;
  FAIL("PostgreSQL does not start: " << text_of(directory_ / "log"));
}

std::vector<int> postgres_process::backends() const {
  std::ifstream in(fmt::format("/proc/{0}/task/{0}/children", pid_));
  return {std::istream_iterator<int>(in), {}};
}

void postgres_process::kill_9() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGSTOP);  // or it might have a child that is not seen
  const auto children = backends();
  ::kill(pid_, SIGKILL);
  for (const int child : children) ::kill(child, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void postgres_process::pause() {
  for (const int child : backends()) ::kill(child, SIGSTOP);
}
void postgres_process::resume() {
  for (const int child : backends()) ::kill(child, SIGCONT);
}

int postgres_process::try_sql(const std::string& text, std::string* said) const {
  const auto out = directory_ / fmt::format("psql-{}", std::hash<std::string>{}(text));
  std::error_code ignored;
  fs::remove(out, ignored);
  const int code = wait_for_end(spawn({"psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url(), "-c", text}, out));
  if (said != nullptr) *said = text_of(out);
  fs::remove(out, ignored);
  return code;
}

std::string postgres_process::sql(const std::string& text) const {
  std::string said;
  if (try_sql(text, &said) != 0) FAIL(text << ": " << said);
  if (said.ends_with('\n')) said.pop_back();
  return said;
}

}  // namespace recordkv::test
