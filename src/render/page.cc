#include "render/page.h"

#include "render/escape.h"

namespace headrace::render {
namespace {

// Colours are custom properties, so that light and dark differ in one place.
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--page:#fbfbfa;--ink:#1c2430;--soft:#667080;--line:#dfe3e8;--card:#fff}
@media(prefers-color-scheme:dark){:root{--page:#11151b;--ink:#e7ebf0;--soft:#94a0b0;--line:#2a323d;
--card:#171d25}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2.2rem 1.6rem 4rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.5rem;font-weight:650;margin:0 0 1.2rem;letter-spacing:-.01em}
h2{font-size:1.08rem;font-weight:650;margin:2.4rem 0 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem 1.4rem .35rem 0;border-bottom:1px solid var(--line)}
th{font-weight:500;color:var(--soft)}
.number{text-align:right}
)";

}  // namespace

std::string RenderPage(std::string_view title, std::string_view style, std::string_view body) {
  const std::string name = Escape(title);
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>" +
      name + "</title><style>";
  html.append(kStyle).append(style).append("</style></head>\n<body><h1>" + name + "</h1>\n");
  return html.append(body).append("</body></html>\n");
}

}  // namespace headrace::render
