// Placeholder.
namespace latchwork { namespace isa { const char* amx_name() { return "amx"; } } }
