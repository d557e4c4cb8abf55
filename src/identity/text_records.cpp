#include "text_records.hpp"

#include "recordkv/core/event.hpp"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <boost/asio/post.hpp>

#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace recordkv::identity {

// Outlives text_records while a look-up is under way.
struct text_records::shared {
  explicit shared(asio::any_io_executor ex) : loop(std::move(ex)) {}

  std::mutex mutex;
  std::optional<asio::any_io_executor> loop;  // guarded; absent once the loop may be gone
};

struct text_records::query {
  std::string name;
  result<std::string> outcome{error{errc::unreachable, "DNS was not asked"}};
  bool done = false;  // the loop's alone
  event answered;

  void run() noexcept;
};

namespace {

constexpr std::size_t max_answer = 65'535;  // of a DNS message
constexpr int seconds_per_try = 3, tries = 2;

error failure_of(int h_error) {
  switch (h_error) {
    case HOST_NOT_FOUND:
    case NO_DATA: return fail(errc::not_found, "there is none");
    case TRY_AGAIN: return fail(errc::timed_out, "DNS does not answer");
    default: return fail(errc::unreachable, "DNS fails: {}", ::hstrerror(h_error));
  }
}

result<std::string> ask(const std::string& name) {
  struct __res_state state{};  // NOLINT: the system's name
  if (::res_ninit(&state) != 0) return fail(errc::unreachable, "DNS is not configured on this machine");
  state.retrans = seconds_per_try;
  state.retry = tries;
  std::string bytes(max_answer, '\0');
  const int n = ::res_nquery(&state, name.c_str(), ns_c_in, ns_t_txt, reinterpret_cast<unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()));
  const int why = state.res_h_errno;
  ::res_nclose(&state);
  if (n < 0) return failure_of(why);
  bytes.resize(std::min(static_cast<std::size_t>(n), bytes.size()));
  return bytes;
}

}  // namespace

void text_records::query::run() noexcept { outcome = ask(name); }

text_records::text_records(asio::any_io_executor loop) : shared_(std::make_shared<shared>(std::move(loop))) {}

text_records::~text_records() {
  const std::scoped_lock held(shared_->mutex);
  shared_->loop.reset();
}

task<result<std::string>> text_records::look_up(std::string name, std::chrono::milliseconds limit) {
  const auto common = shared_;
  const auto ours = std::make_shared<query>();
  ours->name = std::move(name);
  try {
    std::thread([common, ours] {
      ours->run();
      const std::scoped_lock held(common->mutex);
      if (!common->loop) return;
      asio::post(*common->loop, [ours] {
        ours->done = true;
        ours->answered.notify();
      });
    }).detach();
  } catch (const std::system_error& e) {
    co_return fail(errc::unreachable, "no thread: {}", e.what());
  }
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!ours->done) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= std::chrono::steady_clock::duration::zero()) co_return fail(errc::timed_out, "DNS does not answer");
    co_await ours->answered.wait_for(left);
  }
  co_return std::move(ours->outcome);
}

}  // namespace recordkv::identity
