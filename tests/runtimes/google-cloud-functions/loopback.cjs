// The framework listens on every address; tests stay on loopback, on a port that is free.

const { Server } = require("node:net");

const { listen } = Server.prototype;
Server.prototype.listen = function (port, listening) {
  return listen.call(this, 0, "127.0.0.1", () => {
    listening?.();
    console.log(`http://127.0.0.1:${this.address().port}`);
  });
};
