/** Multiply-adds in registers that the machine manages now: GFLOP/s on the threads given. */
import { native } from "../../dist/native.js";

const [isa] = native.info().isas;
const peaks = Array.from({ length: 3 }, () => native.measurePeak(isa, Number(process.argv[2])));
console.log(Math.max(...peaks) / 1e9);
