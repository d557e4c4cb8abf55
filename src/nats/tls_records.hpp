// Whether a read will wait: a TLS record is read whole or not yet.
//
// Owns: looking at a socket that nats.c reads, without taking anything from it. Refuses to know: OpenSSL, nats.c.
// nats.c (3.4.1) waits for the rest of a record in poll(), without a limit and with the loop (architecture.md, the
// seam).
#pragma once

#include <cstddef>

namespace recordkv::nats {

class tls_records {
 public:
  /// `socket` has just been logged in: the next bytes begin a line of the protocol, or a TLS record.
  void attached(int socket);

  /// How many bytes a read will take now; 0: wait until the socket is readable, it won't be before a record is whole.
  std::size_t ready();

 private:
  enum class kind { unknown, plain, tls };
  void wake_at(int bytes);
  bool ended() const;

  int socket_ = -1;
  kind kind_ = kind::unknown;
  int wakes_at_ = 1;
};

}  // namespace recordkv::nats
