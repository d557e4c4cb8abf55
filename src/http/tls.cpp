#include "recordkv/http/tls.hpp"

#include <openssl/x509_vfy.h>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl.hpp>

namespace recordkv::http {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

result<ssl::context> tls_authorities(const std::string& further_pem_file) {
  ssl::context context(ssl::context::tls_client);
  error_code ec;
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  context.set_default_verify_paths(ec);
  if (ec) return fail(errc::bad_config, "the system's certificate authorities cannot be read: {}", ec.message());
  if (!further_pem_file.empty()) {
    context.load_verify_file(further_pem_file, ec);
    if (ec) return fail(errc::bad_config, "{} cannot be read: {}", further_pem_file, ec.message());
  }
  context.set_verify_mode(ssl::verify_peer, ec);
  return context;
}

result<> tls_expect_host(tls_stream& stream, const std::string& host) {
  SSL* const handle = stream.native_handle();
  X509_VERIFY_PARAM* const rules = SSL_get0_param(handle);
  error_code not_an_address;
  boost::asio::ip::make_address(host, not_an_address);
  bool done = false;
  if (!not_an_address) {
    done = X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    done = X509_VERIFY_PARAM_set1_host(rules, host.c_str(), host.size()) == 1 &&
           SSL_set_tlsext_host_name(handle, host.c_str()) == 1;
  }
  if (!done) return fail(errc::bad_config, "\"{}\" is no host name that TLS can check", host);
  return {};
}

std::optional<std::string> tls_distrust(tls_stream& stream) {
  const long verdict = SSL_get_verify_result(stream.native_handle());
  if (verdict == X509_V_OK) return {};
  return X509_verify_cert_error_string(verdict);
}

}  // namespace recordkv::http
