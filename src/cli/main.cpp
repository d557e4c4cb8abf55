// recordkv: everything is behind recordkv::run, so that a program with its own stages has the same main().
#include "recordkv/run.hpp"

int main(int argc, char** argv) { return recordkv::run(argc, argv); }
