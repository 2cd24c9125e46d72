# Build helpers: third-party libraries as imported targets, and one function for each kind of target.
#
# Design: every first-party target links `nodag_flags`, which carries the language, warning and sanitizer
# flags, so that no room can forget them. Third-party headers come in as SYSTEM headers: their warnings
# are not ours to fix.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

foreach(dependency
        "rdkafka;rdkafka>=2.0.2" "event;libevent>=2.1" "jansson;jansson>=2.14" "curl;libcurl>=7.88"
        "crypto;libcrypto>=3.0" "microhttpd;libmicrohttpd>=0.9.75" "gnutls;gnutls>=3.7"
        "yajl;yajl>=2.1" "yaml;yaml-0.1>=0.2.5"
        "git2;libgit2>=1.5")
    list(GET dependency 0 dependency_name)
    list(GET dependency 1 dependency_spec)
    pkg_check_modules(${dependency_name} REQUIRED IMPORTED_TARGET GLOBAL ${dependency_spec})
endforeach()
find_library(LIBLINEAR_LIBRARY linear REQUIRED)
find_path(LIBLINEAR_INCLUDE_DIR linear.h REQUIRED)

add_library(nodag_flags INTERFACE)
target_include_directories(nodag_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(nodag_flags INTERFACE _GNU_SOURCE NODAG_VERSION="${PROJECT_VERSION}")
# Texts are cut on purpose everywhere (snprintf into named limits): what gcc guesses about that is noise.
target_compile_options(nodag_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
    -fno-strict-aliasing -fno-omit-frame-pointer -fstack-protector-strong)
if(NODAG_SANITIZE)
    target_compile_options(nodag_flags INTERFACE -fsanitize=${NODAG_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(nodag_flags INTERFACE -fsanitize=${NODAG_SANITIZE})
endif()
if(NODAG_FUZZ)
    target_compile_options(nodag_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# nodag_library(NAME SOURCES… [LINK TARGETS…]): one static library, a layer.
function(nodag_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PUBLIC nodag_flags ${arg_LINK})
endfunction()

# nodag_executable(NAME SOURCES… [LINK TARGETS…]): one daemon or command, installed on the PATH.
function(nodag_executable name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE nodag_flags ${arg_LINK})
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# nodag_rooms(FOLDERS…): adds those folders below that have a CMakeLists.txt.
function(nodag_rooms)
    foreach(room ${ARGN})
        if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/CMakeLists.txt)
            add_subdirectory(${room})
        endif()
    endforeach()
endfunction()
