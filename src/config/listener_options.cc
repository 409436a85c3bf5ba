#include "config/listener_options.h"

#include <string>
#include <vector>

#include "config/option_form.h"
#include "config/tls_options.h"

namespace headrace::config {
namespace {

template <typename T>
void CheckListenerTls(const T& listener, const YamlNode& node, ConfigReader& reader) {
  CheckPair(listener.certificate, listener.key, node, reader, "gateway");
  if (listener.tls()) return;
  if (!listener.certificates.empty()) {
    reader.Fault(LineOf(node, "certificates"),
                 reader.PathOf("certificates") +
                     " are for further names; add the one for all others, `certificate: "
                     "gateway.pem, key: gateway-key.pem`");
  }
  if (listener.client_ca.empty()) return;
  reader.Fault(LineOf(node, "client_ca"),
               reader.PathOf("client_ca") +
                   " is given, but clients can show certificates over TLS alone; add "
                   "`certificate: gateway.pem, key: gateway-key.pem`");
}

OptionGroup<CertificateConfig> CertificateOptions() {
  return OptionGroup<CertificateConfig>()
      .Value("certificate", &CertificateConfig::certificate, TextForm("path"),
             {.prose = "A file with the certificate and its chain, in PEM form.",
              .example = "other.pem",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("key", &CertificateConfig::key, TextForm("path"),
             {.prose = "A file with its key, in PEM form, not encrypted.",
              .example = "other-key.pem",
              .required = true});
}

// The options of every listener of HTTP.
template <typename T>
OptionGroup<T> ListenerOptions(const OptionForm<std::string>& form, const std::string& address,
                               const std::string& prose) {
  std::string T::* const its_address = &T::address;
  std::string T::* const certificate = &T::certificate;
  std::string T::* const key = &T::key;
  std::vector<CertificateConfig> T::* const certificates = &T::certificates;
  std::string T::* const client_ca = &T::client_ca;
  return OptionGroup<T>()
      .Value("address", its_address, form,
             {.prose = prose + " By default `" + address + "`.", .example = address, .live = false})
      .Value(
          "certificate", certificate, TextForm("path"),
          {.prose = "A file with the certificate that is shown to clients, and its chain, in PEM "
                    "form, relative to this file's folder. With it the listener speaks TLS 1.2 "
                    "and 1.3 alone; whether it does needs a restart, and so does whether clients "
                    "are asked for certificates. All of these files are read again when they "
                    "change (docs/security.md#tls).",
           .example = "gateway.pem"})
      .Value("key", key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "gateway-key.pem"})
      .Groups("certificates", certificates, CertificateOptions(),
              {.prose = "Further certificates, each shown to clients that ask for one of its names "
                        "(SNI; its subjectAltNames, `*.` for one label). Who asks for another "
                        "name, or for none, is shown `certificate`.",
               .example = "{ certificate: other.pem, key: other-key.pem }"})
      .Value("client_ca", client_ca, TextForm("path"),
             {.prose = "A file with the certificates, in PEM form, of the CAs that clients' "
                       "certificates have to be signed by. With it nobody connects without one.",
              .example = "clients-ca.pem"});
}

}  // namespace

OptionGroup<ListenerConfig> ListenOptions() {
  return ListenerOptions<ListenerConfig>(
             ListenOrNoneForm(), Config().listen.address,
             "`:8080` listens on all addresses; port 0 picks a free one; `none`: nowhere, because "
             "all requests come through Envoy.")
      .Rule(&CheckListenerTls<ListenerConfig>)
      .Alone("address");
}

OptionGroup<AdminConfig> AdminOptions() {
  using Open = AdminConfig::Open;
  return ListenerOptions<AdminConfig>(
             ListenForm(), Config().admin.address,
             "Where: an address of this machine alone, or one that asks for a token or a client's "
             "certificate.")
      .Value("token_file", &AdminConfig::token_file, TextForm("path"),
             {.prose = "A file with a token per line, of at least 16 characters each; whoever "
                       "sends one as `Authorization: Bearer …`, or as the password of a browser's "
                       "prompt, is let in. It is read again while the gateway runs.",
              .example = "admin.token",
              .live = false})
      .Value("open", &AdminConfig::open,
             ChoiceForm<Open>(
                 {{"probes", Open::kProbes}, {"metrics", Open::kMetrics}, {"all", Open::kAll}}),
             {.prose = "What needs no token: `probes`, which are `/healthz` and `/readyz`; "
                       "`metrics`, these and `/metrics`; `all`, where something else keeps people "
                       "away who may not drain the gateway.",
              .live = false})
      .Rule(&CheckListenerTls<AdminConfig>)
      .Alone("address");
}

OptionGroup<ExtProcConfig> ExtProcOptions() {
  using BodyMode = ExtProcConfig::BodyMode;
  return OptionGroup<ExtProcConfig>()
      .Value("listen", &ExtProcConfig::listen, ListenOrNoneForm(),
             {.prose = "Where Envoy asks, by gRPC; `none`: there is no picker. The command line's "
                       "`--extproc` comes before it.",
              .live = false})
      .Value(
          "health", &ExtProcConfig::health, ListenOrNoneForm(),
          {.prose = "Where gRPC's health checks (`grpc.health.v1`) are answered without TLS, for "
                    "probes: `liveness`, `readiness` and `inference-extension`. `listen` answers "
                    "them, too; `none`: only there.",
           .live = false})
      .Value("tls", &ExtProcConfig::tls, BooleanForm(),
             {.prose = "Whether `listen` speaks TLS, as the Gateway API's proxies expect it.",
              .live = false})
      .Value("certificate", &ExtProcConfig::certificate, TextForm("path"),
             {.prose = "A file with the certificate that is shown to Envoy, and its chain, in PEM "
                       "form, relative to this file's folder. It is read again when it changes. "
                       "Without it: a self-signed one, made at each start.",
              .example = "picker.pem",
              .live = false})
      .Value("key", &ExtProcConfig::key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "picker-key.pem",
              .live = false})
      .Value("body_mode", &ExtProcConfig::body_mode,
             ChoiceForm<BodyMode>({{"FULL_DUPLEX_STREAMED", BodyMode::kFullDuplex},
                                   {"BUFFERED", BodyMode::kBuffered},
                                   {"STREAMED", BodyMode::kStreamed}}),
             {.prose = "How a proxy sends bodies that does not say it by itself, as Envoy before "
                       "1.34; Envoy's `request_body_mode`.",
              .live = false})
      .Value(
          "fallbacks", &ExtProcConfig::fallbacks, IntegerForm(0, 8),
          {.prose = "How many other endpoints Envoy is told, to try them if the chosen one fails. "
                    "Above 0 only if Envoy takes a list (its `override_host` policy): a cluster "
                    "of type `ORIGINAL_DST` takes one address."})
      .Rule([](const ExtProcConfig& extproc, const YamlNode& node, ConfigReader& reader) {
        CheckPair(extproc.certificate, extproc.key, node, reader, "picker");
      });
}

}  // namespace headrace::config
