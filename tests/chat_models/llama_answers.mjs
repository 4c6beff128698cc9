// Greedy answers of a GGUF by llama.cpp: node llama_answers.mjs MODEL.gguf COUNT PROMPT..., prompts as the template gives them.
import {getLlama} from "node-llama-cpp";

const [path, count, ...prompts] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: 1});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 512, threads: 1});
const sequence = context.getSequence();
const rows = [];
for (const prompt of prompts) {
  await sequence.clearHistory();
  const asked = model.tokenize(prompt, true);
  const answer = [];
  for await (const token of sequence.evaluate(asked, {temperature: 0})) {
    answer.push(token);
    if (answer.length >= Number(count)) break;
  }
  rows.push({asked, answer});
}
console.log(JSON.stringify({template: model.fileInfo.metadata.tokenizer.chat_template, rows}));
process.exit(0);
