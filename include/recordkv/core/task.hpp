// Names for coroutines on the one loop.
//
// Owns: task<T>, and the completion token that every await uses.
// Does not know: which executor runs a coroutine; there is one io_context, driven by one thread.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace recordkv {

namespace asio = boost::asio;

template <class T = void>
using task = asio::awaitable<T>;

/// `auto [ec, n] = co_await socket.async_read_some(buffer, use_task);` errors are values, never exceptions.
inline constexpr auto use_task = asio::as_tuple(asio::use_awaitable);

}  // namespace recordkv
