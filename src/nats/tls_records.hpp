// Whether a read would wait. nats.c is called only once a complete TLS record has arrived.
//
// Owns: looking at a socket that nats.c reads, without taking bytes from it. Does not know: OpenSSL, nats.c.
// nats.c (3.4.1) waits for the rest of a record in poll(), without a limit, and blocks the loop
// (docs/architecture.md).
#pragma once

#include <cstddef>

namespace recordkv::nats {

class tls_records {
 public:
  /// `socket` has just completed its login: the next bytes begin a line of the protocol or a TLS record.
  void attached(int socket);

  /// How many bytes a read may take now. 0: wait until the socket is readable; it is readable once a record is
  /// complete.
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
