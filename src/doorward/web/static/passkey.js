// placeholder until the real one arrives
