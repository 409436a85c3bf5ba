// The one place where Boost's separately compiled parts are compiled.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
