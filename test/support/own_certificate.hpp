// A certificate that signs itself, and a file to trust it from.
//
// Owns: the key, made anew; valid for an hour. Does not know: what is sent under it.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace recordkv::test {

/// Valid for the host name `name`; itself and its key, as PEM.
struct certificate {
  explicit certificate(const std::string& name) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME* const subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(x, subject);
    X509_EXTENSION* const names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, ("DNS:" + name).c_str());
    X509_add_ext(x, names, -1);
    X509_sign(x, key, EVP_sha256());
    pem = text([&](BIO* b) { PEM_write_bio_X509(b, x); });
    key_pem = text([&](BIO* b) { PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr); });
    X509_EXTENSION_free(names);
    X509_free(x);
    EVP_PKEY_free(key);
  }

  template <class Write>
  static std::string text(Write write) {
    BIO* const b = BIO_new(BIO_s_mem());
    write(b);
    char* data = nullptr;
    const long n = BIO_get_mem_data(b, &data);
    std::string out(data, static_cast<std::size_t>(n));
    BIO_free(b);
    return out;
  }

  std::string pem, key_pem;
};

struct pem_file {
  explicit pem_file(std::string_view content) {
    char name[] = "/tmp/recordkv-ca-XXXXXX";
    ::close(mkstemp(name));
    path = name;
    std::ofstream(path) << content;
  }
  ~pem_file() { std::filesystem::remove(path); }
  std::string path;
};

}  // namespace recordkv::test
