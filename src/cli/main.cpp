// recordkv: everything is behind recordkv::run, so that a program with stages of its own has the same main().
#include "recordkv/run.hpp"

int main(int argc, char** argv) { return recordkv::run(argc, argv); }
