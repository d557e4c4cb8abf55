// The text records of a name, as the system's DNS answers.
//
// Owns: the look-up, on a thread of its own, its time, and which answers mean that there are none.
// Does not know: what the records say (recordkv/identity/handle.hpp reads the bytes).
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace recordkv::identity {

class text_records {
 public:
  explicit text_records(asio::any_io_executor loop);
  ~text_records();  ///< look-ups under way end later, without effect
  text_records(const text_records&) = delete;
  text_records& operator=(const text_records&) = delete;

  /// The bytes of the answer. errc::not_found: the name has no text records. errc::timed_out, errc::unreachable: DNS
  /// does not say.
  task<result<std::string>> look_up(std::string name, std::chrono::milliseconds limit);

 private:
  struct shared;
  struct query;
  std::shared_ptr<shared> shared_;
};

}  // namespace recordkv::identity
