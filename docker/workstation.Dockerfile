# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# TheBox on a workstation (x86-64): docker build -f docker/workstation.Dockerfile -t thebox .
#
# The bases are pinned by tag. They are not pinned by digest: no registry could be asked where this
# was written, and a digest that nobody pulled is worth nothing. Pin them at your first pull:
# docker buildx imagetools inspect ros:jazzy-ros-base
FROM node:22.20-bookworm-slim AS node

FROM ros:jazzy-ros-base AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY docker/install_ros_packages.sh /tmp/install_ros_packages.sh
RUN bash /tmp/install_ros_packages.sh build
# Node.js builds the panel; nothing of it is in the image that runs.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /opt/thebox
COPY . .
ENV THEBOX_ROS=jazzy THEBOX_ROS_FROM=distribution THEBOX_APT=no
RUN ./thebox build && rm -rf src/thebox_webui/panel/node_modules log

FROM ros:jazzy-ros-base AS run
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY docker/install_ros_packages.sh /tmp/install_ros_packages.sh
RUN bash /tmp/install_ros_packages.sh run && rm /tmp/install_ros_packages.sh
# The base image's own user has number 1000; this one is its own.
RUN groupadd --gid 1500 thebox \
    && useradd --create-home --home-dir /var/lib/thebox --uid 1500 --gid 1500 --groups dialout,video thebox \
    && install -d -o thebox -g thebox /var/lib/thebox/run /var/log/thebox
COPY --from=build --chown=thebox:thebox /opt/thebox /opt/thebox
WORKDIR /opt/thebox
USER 1500:1500
ENV THEBOX_ROS=jazzy THEBOX_ROS_FROM=distribution THEBOX_NO_BUILD=1 \
    THEBOX_RUN_DIR=/var/lib/thebox/run THEBOX_LOG_DIR=/var/log/thebox HOME=/var/lib/thebox
VOLUME ["/var/lib/thebox", "/var/log/thebox"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python3", "/opt/thebox/docker/health.py"]
STOPSIGNAL SIGINT
ENTRYPOINT ["/opt/thebox/thebox"]
CMD ["up", "--no-sim"]
