// The one place where the separately compiled part of Asio is compiled.
#include <boost/asio/impl/src.hpp>
