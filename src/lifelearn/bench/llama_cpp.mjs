// Tokens per second of llama.cpp on a GGUF, greedy, one row: node llama_cpp.mjs MODEL.gguf PROMPT COUNT THREADS
import {getLlama} from "node-llama-cpp";

const [path, prompt, count, threads] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: Number(threads)});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 1024, threads: Number(threads)});
const sequence = context.getSequence();
const tokens = model.tokenize(prompt, true);
let best = 0;
for (let round = 0; round < 3; round++) {
  await sequence.clearHistory();
  let started = null;
  let made = 0;
  for await (const _ of sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true})) {
    if (started === null) started = performance.now();
    else made += 1;
    if (made >= Number(count)) break;
  }
  best = Math.max(best, made / ((performance.now() - started) / 1000));
}
console.log(JSON.stringify({tokens_per_second: best}));
process.exit(0);
