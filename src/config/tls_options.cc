#include "config/tls_options.h"

#include "config/option_form.h"

namespace headrace::config {

OptionGroup<TlsConfig> TlsOptions(const std::string& server) {
  return OptionGroup<TlsConfig>()
      .Value("ca", &TlsConfig::ca, TextForm("path"),
             {.prose = "A file with the certificates, in PEM form, of the CAs that may sign the " +
                       server + "'s, relative to this file's folder. Without it: the system's CAs.",
              .example = server + "-ca.pem"})
      .Value("server_name", &TlsConfig::server_name, NameForm(),
             {.prose = "The name that the " + server +
                       "'s certificate has to be for, if that is not the URL's host. It is also "
                       "told to the " +
                       server + " (SNI).",
              .example = server + ".example"})
      .Value("certificate", &TlsConfig::certificate, TextForm("path"),
             {.prose = "A file with the certificate that is shown to the " + server +
                       ", and its chain, in PEM form; for " + server + "s that ask for one.",
              .example = "gateway.pem"})
      .Value("key", &TlsConfig::key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "gateway-key.pem"})
      .Value("verify", &TlsConfig::verify, BooleanForm(),
             {.prose = "`false`: any certificate of the " + server +
                       " is taken, so that anybody on the way can read and change everything. For "
                       "trials only."})
      .Rule([](const TlsConfig& tls, const YamlNode& node, ConfigReader& reader) {
        CheckPair(tls.certificate, tls.key, node, reader, "gateway");
      });
}

void CheckPair(const std::string& certificate, const std::string& key, const YamlNode& node,
               ConfigReader& reader, const std::string& name) {
  if (certificate.empty() == key.empty()) return;
  reader.Fault(node.line,
               reader.path() +
                   (certificate.empty()
                        ? " has a key without its certificate; add `certificate: " + name + ".pem`"
                        : " has a certificate without its key; add `key: " + name + "-key.pem`"));
}

}  // namespace headrace::config
