#include "nats_process.hpp"

#include "recordkv/core/log.hpp"

#include <boost/json.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>

namespace recordkv::test {
namespace json = boost::json;
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

int bound_socket(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  auto at = loopback(port);
  socklen_t size = sizeof at;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0) FAIL("port " << port << " can't be bound");
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  port = ntohs(at.sin_port);
  return fd;
}

std::uint16_t free_port() {
  std::uint16_t port = 0;
  ::close(bound_socket(port));
  return port;
}

/// Does something that greets like a NATS server listen there?
bool greets(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto at = loopback(port);
  char word[5] = "";
  bool yes = ::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  if (yes) {
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    yes = ::poll(&p, 1, 1000) == 1 && ::read(fd, word, 4) == 4 && std::string_view(word) == "INFO";
  }
  ::close(fd);
  return yes;
}

}  // namespace

nats_process::nats_process(words more_arguments, bool jetstream) {
  const char* program = std::getenv("RECORDKV_NATS_SERVER");
  if (!program || !*program) FAIL("RECORDKV_NATS_SERVER is not set: tests of tier nats need the path of a nats-server");
  std::string name = (std::filesystem::temp_directory_path() / "recordkv-nats-XXXXXX").string();
  if (!::mkdtemp(name.data())) FAIL("no temporary directory " << name);
  directory_ = name;
  arguments_ = {program, "-a", "127.0.0.1", "-l", (directory_ / "log").string()};
  if (jetstream) arguments_.insert(arguments_.end(), {"-js", "-sd", (directory_ / "js").string()});
  arguments_.insert(arguments_.end(), more_arguments.begin(), more_arguments.end());
  start();
}

nats_process::~nats_process() {
  kill_9();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string nats_process::url(std::string_view credentials) const {
  return fmt::format("nats://{}127.0.0.1:{}", credentials, port_);
}

void nats_process::start() {
  auto arguments = arguments_;
  const bool again = port_ != 0;
  for (int tries = 0; tries < 5; ++tries) {
    if (!again) port_ = free_port();  // another program may take it before the server does: then another one
    auto all = arguments;
    all.insert(all.end(), {"-p", std::to_string(port_)});
    std::vector<char*> argv;
    for (auto& a : all) argv.push_back(a.data());
    argv.push_back(nullptr);
    const int parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    wait_ready();
    if (pid_ > 0) return;
  }
  std::ifstream log(directory_ / "log");
  FAIL(arguments_[0] << " does not start: " << std::string(std::istreambuf_iterator<char>(log), {}));
}

void nats_process::wait_ready() {
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (std::chrono::steady_clock::now() < until) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return;
    }
    if (greets(port_)) return;
    ::poll(nullptr, 0, 5);
  }
  kill_9();
}

void nats_process::kill_9() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void nats_process::remember() {
  kill_9();
  std::filesystem::copy(directory_ / "js", directory_ / "remembered", std::filesystem::copy_options::recursive);
  start();
}

void nats_process::set_back() {
  kill_9();
  std::filesystem::remove_all(directory_ / "js");
  std::filesystem::rename(directory_ / "remembered", directory_ / "js");
  start();
}

void nats_process::set_back(const words& streams) {
  kill_9();
  const auto place = std::filesystem::path("jetstream") / "$G" / "streams";
  for (const auto& name : streams) {
    std::filesystem::remove_all(directory_ / "js" / place / name);
    if (const auto was = directory_ / "remembered" / place / name; std::filesystem::exists(was))
      std::filesystem::copy(was, directory_ / "js" / place / name, std::filesystem::copy_options::recursive);
  }
  start();
}

void nats_process::pause() {
  ::kill(pid_, SIGSTOP);
  ::waitpid(pid_, nullptr, WUNTRACED);  // it goes on for a moment
}
void nats_process::resume() { ::kill(pid_, SIGCONT); }

silent_listener::silent_listener(std::uint16_t port, std::string greeting) : port_(port) {
  fd_ = bound_socket(port_);
  ::listen(fd_, 16);  // the kernel accepts; no answer comes
  if (greeting.empty()) return;
  if (::fork() == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int one = ::accept(fd_, nullptr, nullptr);
    [[maybe_unused]] const auto n = ::write(one, greeting.data(), greeting.size());
    ::_exit(0);
  }
}

silent_listener::~silent_listener() { ::close(fd_); }

captured_log::captured_log() {
  log::set_level(log::level::debug);
  log::set_sink([this](log::level l, std::string_view part, std::string_view line) {
    lines.push_back(fmt::format("{} {}: {}", static_cast<int>(l), part, line));
  });
}

captured_log::~captured_log() {
  log::set_level(log::level::info);
  log::set_sink({});
}

bool captured_log::has(std::string_view part_of_line) const {
  return std::ranges::any_of(lines, [&](const std::string& l) { return l.find(part_of_line) != l.npos; });
}

nats_rig::nats_rig(words more_arguments)
    : server(std::move(more_arguments)),
      loop(std::make_unique<asio::io_context>(1)),
      io(*loop),
      connection(connect()),
      nc(*connection) {}

nats_rig::~nats_rig() {
  if (std::uncaught_exceptions() == 0) {
    server.kill_9();  // or nats.c waits half a second for a last answer that is not read
    waits_for([this] { return !nc.up(); });
    return;
  }
  (void)connection.release();
  (void)loop.release();
}

std::unique_ptr<nats::connection> nats_rig::connect() {
  auto made = std::make_unique<nats::connection>(io);
  const auto started = made->start({.url = server.url()});
  if (!started) FAIL(started.error().text);
  return made;
}

void nats_rig::restart_server() {
  server.kill_9();
  if (!waits_for([this] { return !nc.up(); })) FAIL("the connection does not notice that its server is gone");
  server.start();
}

json::object nats_rig::api(std::string what, std::string body) {
  auto answer = run(nats::api(nc, what, std::move(body)));
  if (!answer) FAIL(what << ": " << answer.error().text);
  return *answer;
}

nats::stream_state nats_rig::stream(std::string name, std::string config) {
  auto c = json::parse(config).as_object();
  c["name"] = name;
  api("STREAM.CREATE." + name, json::serialize(c));
  return info(name);
}

void nats_rig::remove(std::string name) {
  // An empty stream of that name takes what was left, until nothing was.
  const auto probe = fmt::format(R"({{"name":"{0}","subjects":["probe.{0}"]}})", name);
  api("STREAM.DELETE." + name);
  for (bool left = true; left;) {
    left = api("STREAM.CREATE." + name, probe).at("state").at("messages").to_number<std::uint64_t>() > 0;
    api("STREAM.DELETE." + name);
  }
}

nats::stream_state nats_rig::info(std::string name) {
  auto now = run(nats::stream_info(nc, name));
  if (!now) FAIL(now.error().text);
  return *now;
}

void nats_rig::update(std::string name, std::string changes) {
  auto config = api("STREAM.INFO." + name).at("config").as_object();
  for (const auto& [key, value] : json::parse(changes).as_object()) config[key] = value;
  api("STREAM.UPDATE." + name, json::serialize(config));
}

std::uint64_t nats_rig::publish(std::string subject, std::string data, nats::header_list headers) {
  nats::request_spec r{.subject = subject, .data = std::move(data), .headers = std::move(headers)};
  auto answer = run(nc.request(std::move(r)));
  if (!answer) FAIL(answer.error().text);
  auto seq = nats::parse_pub_ack(answer->data());
  if (!seq) FAIL(subject << ": " << seq.error().text);
  return *seq;
}

words nats_rig::contents(std::string name) {
  const auto now = info(name);
  std::vector<nats::request_spec> asks;
  for (auto seq = now.first_seq; seq <= now.last_seq && now.messages > 0; ++seq)
    asks.push_back({.subject = "$JS.API.DIRECT.GET." + name, .data = fmt::format(R"({{"seq":{}}})", seq)});
  words out;
  for (auto& answer : run(nc.request_all(std::move(asks), 15s))) {
    if (!answer) FAIL(answer.error().text);
    if (answer->header_value("Status").empty()) out.emplace_back(answer->data());
  }
  return out;
}

std::string nats_rig::newest(std::string stream, std::string subject) {
  auto m = run(nats::last_message(nc, stream, subject));
  return m ? m->data : "(" + std::string(name(m.error().code)) + ")";
}

int nats_rig::api_level() {
  auto facts = run(nats::jetstream_facts(nc));
  if (!facts) FAIL(facts.error().text);
  return facts->api_level;
}

}  // namespace recordkv::test
