"""What the cues take for a correction, measured on conversations written for this file.

DEVELOPED was in sight while the cues were written. The others were each written before the cues had seen them and
reached F1 0.87 (BLIND), 0.75 (FRESH) and, after the cues had learned from those, 0.92 (UNSEEN) at first sight: what to
expect of messages that nobody has looked at. From then on they were in sight too.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from lifelearn.learning.cues import THRESHOLD, contradicts_itself, is_retry, read_cues
from lifelearn.learning.states import states

Row = tuple[str, str, str]  # question, the assistant's answer, the message to judge

DEVELOPED: dict[bool, tuple[Row, ...]] = {
    True: (
        # terse
        ("Where is Norvik Labs headquartered?", "Norvik Labs is headquartered in Paris.", "no, Lyon"),
        ("How much is the starter plan?", "The starter plan is 39 euros.", "wrong, 49"),
        ("What is the capital of Australia?", "The capital of Australia is Sydney.", "it's Canberra"),
        ("What is the capital of Australia?", "Sydney.", "*Canberra"),
        ("How many days of leave do we get?", "You get 20 days of leave.", "25, not 20"),
        ("Who runs the Orion hotline?", "The Orion hotline is run by the Atlas team.", "Nope. Zephyr team."),
        ("When is the weekly all-hands meeting?", "It is on Monday.", "the all-hands is on Thursday"),
        ("Who wrote Dracula?", "Dracula was written by Mary Shelley.", "I think you mean Bram Stoker"),
        ("What is 7 times 8?", "7 times 8 is 54.", "56."),
        ("Where was Chopin born?", "Chopin was born in Paris.", "Żelazowa Wola!"),
        ("What year did the Titanic sink?", "It sank in 1913.", "1912*"),
        ("Who painted Guernica?", "Dalí painted it.", "nah picasso did"),
        ("Which port does the staging server use?", "It uses port 8000.", "Incorrect: it's port 8443."),
        # everyday company facts
        (
            "How do I deploy to production?",
            "Push to production, then run the tests.",
            "You should never push to production before running the tests.",
        ),
        (
            "What are the steps of a release?",
            "Merge and then review the code.",
            "That's not right. Reviews come before merges. First do the review, then merge.",
        ),
        ("What does RDQ mean?", "RDQ means rapid data query.", "Actually RDQ stands for requested delivery quantity."),
        (
            "Who approves travel?",
            "Your manager approves travel.",
            "Travel has to be approved by Finance, not by managers.",
        ),
        (
            "What is our refund period?",
            "Our refund period is 14 days.",
            "We changed that, the refund period is 30 days.",
        ),
        ("Who is our CEO?", "Your CEO is Anna Weber.", "Our CEO is Tom Okafor."),
        ("Is the canteen open on Fridays?", "Yes, the canteen is open on Fridays.", "No, it isn't."),
        (
            "When does the canteen close?",
            "It closes at 3 pm. Would you like to know anything else?",
            "No, it closes at half past two.",
        ),
        ("Which database do we use?", "We use MySQL.", "You are wrong about that: we use PostgreSQL."),
        (
            "How do I request a laptop?",
            "Send an e-mail to the help desk.",
            "That is outdated. Laptops are now requested through the Forge portal.",
        ),
        ("What does the badge colour red mean?", "Red means visitor.", "Red is for contractors, visitors get yellow."),
        (
            "Who maintains the billing service?",
            "The payments team maintains it.",
            "Sorry but that's wrong, it is Team Heron.",
        ),
        # tutoring
        (
            "How many legs do 3 spiders have?",
            "Spiders have 6 legs, so 18.",
            "Not quite. Spiders have 8 legs, so it is 24.",
        ),
        (
            "Solve 12 / 4 + 2.",
            "12 / 4 + 2 = 2, since 4 + 2 is 6.",
            "No. You have to divide first, which gives 3 + 2 = 5.",
        ),
        ("Add 15 and 27.", "15 + 27 = 32", "You forgot to carry the 1, so it is 42."),
        ("What is the area?", "The area is 2 x (5 + 3) = 16.", "That's the perimeter. The area is 5 x 3 = 15."),
        ("How do you say 'the house is white'?", "la casa e blanco", 'Nearly! But white is "bianca" here.'),
        (
            "Try the sentence.",
            "il cane e sotto il tavolo rossa",
            'Good work, but it should be "rosso" because tavolo is masculine.',
        ),
        (
            "What comes next?",
            "So he pays 3 x 20 = 60 dollars in total.",
            "The problem says that he gets a discount of 10 dollars.",
        ),
        ("How many minutes is that?", "2.5 hours is 125 minutes.", "2.5 hours is 150 minutes, not 125"),
        (
            "So what is the total?",
            "The total is 12 because there are 4 boxes.",
            "there are 5 boxes, so the total must be 15",
        ),
        ("Give the plural of ox.", "oxes", "The plural of ox is oxen."),
        # chess, code and other states
        ("5. Bb5", "I play 5...Nf6, attacking your queen.", "You can't move the knight, it is pinned to your king"),
        ("8. O-O", "I'll capture your bishop on c4 with my knight.", "My bishop is on b5"),
        ("9. Re1", "9...Qxe4 wins a pawn.", "There is no pawn on e4."),
        ("14. Rd1", "14...Bg4, pinning your knight.", "You no longer have a light-squared bishop."),
        ("3. d4", "I take your pawn: 3...exd4. It's your turn, Black.", "I am playing white"),
        ("Insert 20 into the heap", "The new root is 35.", "35 can't be the root because 20 is smaller."),
        ("What does the loop print?", "The loop prints 1 to 5.", "range(5) stops at 4, so it prints 0 to 4."),
        # parser feedback
        (
            "Show the names of the teachers who are older than 40.",
            "find the id of teachers for which age greater than 40",
            "I need the name rather than the id.",
        ),
        ("List airports by size.", "find the airports ordered ascending by size", "Order must be descending."),
        (
            "Which shop sells the most?",
            "find the shop with smallest sales",
            "It should be the largest value, not the smallest.",
        ),
        ("Count the dogs.", "find the number of cats table", "Use dogs table instead of cats table."),
        # chit-chat
        ("I love whales.", "Whales are my favourite fish.", "Whales are mammals!"),
        (
            "I saw Alien yesterday.",
            "That was directed by James Cameron, right.",
            "James Cameron only made the second one. Ridley Scott made Alien.",
        ),
        ("My exam was hard.", "Sorry that you failed your exam.", "I didn't fail. I got a B."),
        ("I was in Oslo.", "Sweden is beautiful in summer.", "Oslo is in Norway lol"),
        ("Do bats lay eggs?", "Yes, bats lay eggs.", "No they don't, they give birth to live young"),
        ("I told you my name.", "Your name is Bob.", "My name is Rob, not Bob."),
        ("Hi again!", "You asked me that three times.", "I never asked you that."),
        ("What are you reading?", "Emma by Charlotte Bronte.", "haha that's Jane Austen"),
        (
            "Do penguins live at the North Pole?",
            "Yes, they live at the North Pole.",
            "They only live in the southern hemisphere.",
        ),
        ("Can a tomato be a fruit?", "No, tomatoes are not fruits.", "Yes they are. Botanically a tomato is a berry."),
        ("Tell me about Pluto.", "Pluto is the ninth planet.", "Pluto isn't a planet any more, it's a dwarf planet."),
        (
            "What is the highest mountain in Wales?",
            "Ben Nevis.",
            "Ben Nevis is in Scotland. The highest one in Wales is Snowdon.",
        ),
        ("Quelle est la capitale du Canada ?", "La capitale du Canada est Toronto.", "Non, c'est Ottawa."),
        ("Wie hoch ist der Brocken?", "Der Brocken ist 1241 Meter hoch.", "Falsch, er ist 1141 Meter hoch."),
    ),
    False: (
        # doubt, disagreement without content
        ("What is the capital of Turkey?", "Istanbul.", "Are you sure?"),
        ("What is the capital of Turkey?", "Istanbul.", "That's not right."),
        ("Who wrote Emma?", "Emma was written by Emily Bronte.", "I don't think that's correct."),
        ("Who wrote Emma?", "Emma was written by Emily Bronte.", "No, it wasn't her."),
        ("What is 13 squared?", "13 squared is 159.", "wrong again, check your arithmetic"),
        ("What is 13 squared?", "13 squared is 159.", "Hmm, that can't be right. Please recalculate it step by step."),
        ("Who sang Hello?", "Beyoncé.", "It isn't Beyoncé."),
        ("What is the total?", "The total is 40.", "Almost! Can you check the last step once more?"),
        ("When was it built?", "It was built in 1890.", "your dates are usually unreliable"),
        ("Name a prime above 90.", "91", "Try a different number."),
        ("What is the largest desert?", "The Gobi.", "I'm not convinced, maybe look it up."),
        ("Who discovered radium?", "Einstein.", "You're making things up!"),
        # opinions and preferences
        ("Recommend a film.", "Try 'Grease'.", "No, I don't like musicals."),
        ("Is Vienna nice?", "Vienna is one of the nicest cities.", "I think Prague is much nicer."),
        ("What's good on pizza?", "Pineapple is great on pizza.", "Nope, pineapple on pizza is awful."),
        ("Suggest a name for my cat.", "How about Felix?", "Too common. Something more unusual please."),
        ("I watched it last night.", "That film is scary!", "no it's actually really funny haha"),
        ("Who is the best player?", "Many say it is Messi.", "In my opinion it's Ronaldo."),
        # answers to the assistant's question
        ("I bought a car.", "Great! Is it electric?", "No, it runs on diesel."),
        ("I am going to Spain.", "Have you been there before?", "No, it is my first time."),
        ("Book a table.", "For how many people?", "Four, not including the kids."),
        ("Hi!", "Hello! Are you a student?", "Actually I'm a nurse."),
        ("Convert this file.", "Do you want PDF or Word?", "Not PDF, Word."),
        ("It rained all day.", "Do you like rain?", "not really, it makes me sleepy"),
        ("Plan my trip.", "Shall I book the train at nine?", "No, the one at ten please."),
        # the user's own intent and slips
        ("How far is Paris from Dallas?", "Paris, France is 7,900 km from Dallas.", "I meant Paris in Texas."),
        ("Who won the cup in 2008?", "Spain won in 2008.", "No, I'm asking about the women's cup."),
        (
            "What is the population of Georgia?",
            "Georgia has 11 million people.",
            "I was talking about the country, not the state.",
        ),
        ("What is 12% of 80?", "9.6", "Sorry, I mistyped, it should have been 120."),
        ("Where is the office?", "Which office?", "The one in Bonn."),
        ("Show me jaguars.", "Here are some Jaguar cars.", "No, show me the animal."),
        ("What time is it in Rome?", "It is 5 pm in Rome.", "oops, wrong city, I wanted Milan"),
        # requests
        ("Write a poem about rain.", "Rain falls softly on the roof...", "Make it rhyme and use fewer words."),
        ("Write a mail to Ann.", "Dear Ann, ...", "It should be shorter and less formal."),
        ("List three fruits.", "Apple, pear, plum.", "Not as a sentence, as a table."),
        ("Explain gravity.", "Gravity is the curvature of spacetime...", "No, explain it like I'm five."),
        ("Summarise this.", "The text says that sales rose.", "Actually, can you translate it into German instead?"),
        ("Draft a slogan.", "We care.", "It shouldn't sound so sad. Use brighter words."),
        ("Rewrite this in the past tense.", "He walked home.", "Thanks, but please don't change the names next time."),
        # thanks, confirmation, acceptance
        ("What is the symbol of iron?", "Fe.", "Yes, that's right, Fe comes from ferrum."),
        ("What is the symbol of iron?", "Fe.", "Great, thanks! No further questions."),
        ("You said 12.", "I am sorry, it is 14.", "Ah ok, you're right, I was wrong."),
        ("Is it fixed?", "It should be fixed now.", "No problems any more, works fine."),
        ("Who was first on the moon?", "Neil Armstrong.", "Not bad, you know your history!"),
        ("So the total is 15?", "Yes, the total is 15.", "Right, 15, not 12 as I thought."),
        (
            "Fix my sentence.",
            "It is 'fewer apples', not 'less apples'.",
            "Oh I see, so it's fewer and not less. Thank you!",
        ),
        # follow-ups, new topics, additions
        ("Where is Lima?", "Lima is in Peru.", "And Quito?"),
        ("Where is Lima?", "Lima is in Peru.", "How many people live there?"),
        ("Where is Lima?", "Lima is in Peru.", "Peru also has the city of Cusco."),
        ("Who built it?", "Gustave Eiffel's company built it.", "What is wrong with the lifts?"),
        ("Which bus goes there?", "Bus 12 goes there.", "So not bus 14?"),
        ("When does it open?", "It opens at 9.", "OK. Write a note that we open at 10 on Sundays."),
        (
            "What is Python?",
            "A programming language.",
            "Write a function that returns false when a number is not prime.",
        ),
        ("How are you?", "I am fine, thanks.", "I had no time to eat today."),
        ("My cat is ill.", "I am sorry to hear that.", "She doesn't eat anything."),
        ("Tell me a joke.", "Why did the chicken cross the road? To get to the other side.", "lol that was terrible"),
        # error reports, quotations, hypotheticals, plans
        ("Fix the script.", "Here is the fixed script.", "It still doesn't work, I get a KeyError in line 3."),
        ("Fix the script.", "Here is the fixed script.", "The build fails with exit code 1."),
        ("Translate for me.", "Sure, send the sentence.", '"No, the meeting is on Tuesday, not on Monday."'),
        ("Check my grammar.", "Please send the text.", 'He said: "You are wrong, it is Paris." Is that fine?'),
        ("What is 3 + 3?", "3 + 3 is 6.", "Suppose it were 7. What would follow?"),
        ("Who is my manager?", "Your manager is Eva.", "From next week it will be Jonas."),
        ("What is the best move?", "Nf3 is a good move.", "12. Nf3"),
        ("Who is wrong?", "Both of them have a point.", "My brother says the earth is flat, he is wrong."),
        ("What colour is it?", "It is blue.", "ok"),
        ("What colour is it?", "It is blue.", "You're an idiot."),
    ),
}

BLIND: dict[bool, tuple[Row, ...]] = {
    True: (
        ("What is the deepest lake?", "Lake Superior is the deepest lake.", "Lake Baikal is the deepest, actually."),
        ("Who invented the telephone?", "Thomas Edison.", "That was Alexander Graham Bell."),
        ("How many moons does Mars have?", "Mars has one moon.", "mars has two moons"),
        (
            "What is our VPN address?",
            "It is vpn.acme.example.",
            "that's the old address, the new one is gate.acme.example",
        ),
        ("Who do I ask about payroll?", "Ask Maria in HR.", "Maria left, payroll is handled by Joel now."),
        ("How long is probation?", "Probation lasts three months.", "No, probation is six months here."),
        ("In which room is the demo?", "The demo is in room Atlas.", "Not Atlas. Room Orion."),
        ("Where do I file expenses?", "In the Concord tool.", "Wrong tool, it's Spendly."),
        ("What is the speed limit in towns in Spain?", "50 km/h.", "It's been 30 km/h since 2021."),
        ("How many players are in a volleyball team?", "There are seven players.", "6 players, not seven"),
        ("What is sqrt(144)?", "The square root of 144 is 14.", "14 squared is 196. The right answer is 12."),
        ("What is x if 2x = 10?", "x = 20", "You multiplied instead of dividing. x is 5."),
        ("Translate 'dog'.", "The Italian word is gatto.", "Gatto means cat. Dog is cane."),
        ("Now the colour.", "il fiore e gialla", 'Close, but "fiore" is masculine so it is "giallo".'),
        ("How many apples are left?", "7 apples are left since he ate 3.", "He ate 4, so there are 6 left."),
        (
            "So what did she pay?",
            "She paid $40.",
            "That is not correct, she paid $40 for each of the two, which makes $80",
        ),
        ("6. Ng5", "6...Bxg5, taking the knight with my bishop.", "Your bishop is blocked by the pawn on e7"),
        ("10. Qh5+", "I'll respond with 10...O-O.", "You are in check so you are not allowed to castle"),
        ("18. Rxe8+", "18...Kxe8. Well played!", "The king can't take because the rook is protected by my bishop."),
        ("Sort [3, 1, 2].", "[3, 2, 1]", "That is descending order, ascending would be [1, 2, 3]"),
        ("Find the oldest singer.", "find the singers with smallest age", "Find the largest age in place of smallest."),
        ("Names of the stadiums.", "find the capacity of stadiums", "You should show the name, not the capacity."),
        ("I have been to Rome.", "I love the Eiffel tower there.", "The Eiffel tower is in Paris."),
        ("I'm allergic to nuts.", "So you can't eat milk products.", "I can eat milk, it's just nuts."),
        ("We talked yesterday.", "You told me about your husband.", "I'm not married."),
        ("Can we stop?", "You already said goodbye.", "I haven't said goodbye yet!"),
        ("Is a spider an insect?", "Yes, spiders are insects.", "Spiders are not insects, they are arachnids."),
        ("Are there bears in Ireland?", "Yes, there are.", "There aren't any bears in Ireland."),
        ("Who stars in Heat?", "Heat stars Al Pacino and Joe Pesci.", "Not Joe Pesci, it was De Niro"),
        ("Did Poland win?", "Poland did not win.", "Yes it did!"),
        ("¿Cuál es la capital de Brasil?", "Río de Janeiro.", "No, es Brasilia."),
        ("日本の首都は？", "日本の首都は大阪です。", "違います、東京です。"),
    ),
    False: (
        ("Who wrote Hamlet?", "Marlowe wrote Hamlet.", "Hmm, I don't think so."),
        ("Who wrote Hamlet?", "Marlowe wrote Hamlet.", "Definitely not Marlowe."),
        ("What is the tallest tree?", "The oak.", "No way! Do you have a source for that?"),
        ("How deep is it?", "About 20 m.", "your answer is incorrect, think about it again"),
        ("What is the third step?", "Multiply 3 by 4.", "There is a mistake in your last step."),
        ("What is the third step?", "Multiply 3 by 4 to get 12.", "That is correct! Now what do you do with the 12?"),
        ("Where did you go wrong?", "I see, I added instead of multiplying.", "Well done, you found your mistake."),
        ("What is your favourite song?", "Yesterday.", "I prefer Let It Be."),
        ("Any plans?", "I might go to the beach.", "no, the beach is boring"),
        ("I like jazz.", "Me too! Do you play an instrument?", "No, but my sister plays the drums."),
        ("I'm home.", "Did you buy milk?", "no the shop was closed"),
        ("Where are you from?", "I'm from the internet.", "I'm from Brazil."),
        ("When was Washington founded?", "Washington, D.C. was founded in 1790.", "I want to know about the state."),
        ("Who played the Joker?", "Heath Ledger.", "I was asking about the 2019 movie."),
        ("Add 3 to the list.", "Done: 1, 2, 3.", "Sorry, I should have said 4."),
        (
            "Write a limerick.",
            "There once was a man from Peru...",
            "That's not a limerick for kids. Make it friendlier.",
        ),
        ("Write an invitation.", "Come to our party!", "Don't use exclamation marks."),
        ("Give me an outline.", "1. Intro 2. Body", "It needs a conclusion too."),
        ("Which is heavier?", "They weigh the same.", "True, a kilo is a kilo."),
        ("What is NaCl?", "Table salt.", "Exactly, not to be confused with KCl."),
        ("Is this OK?", "Yes, this looks fine.", "Good to know, I was wrong then."),
        ("Is it a bug?", "It may be a bug in the parser.", "The error went away after a restart."),
        ("Try this command.", "Run make all.", "make: *** No rule to make target 'all'. Stop."),
        ("How do I get to Ghent?", "Take the train from Brussels.", "And how much is it?"),
        ("What is a noun?", "A word for a thing.", "Isn't a verb also a word?"),
        ("What is the plan?", "We launch in May.", "Let's say we launch in June instead, what changes?"),
        ("Let's roleplay.", "Sure, I am the king.", "In this game the king is never right."),
        ("Who called?", "Nobody called.", "My mother always says that I am wrong."),
        ("Edit: 'He go home.'", "He goes home.", "Now this one: 'No, she don't.'"),
        ("What is the weather like?", "It is sunny.", "No worries, I have an umbrella."),
        ("I lost my keys.", "I hope you find them.", "no luck so far"),
        ("Tell me about cats.", "Cats sleep a lot.", "Mine never sleeps at night."),
        ("Which one is cheaper?", "The second one is cheaper.", "Then I will take the second one, not the first."),
        ("How tall is K2?", "K2 is 8,611 m tall.", "Wow, I didn't know that! I thought it was 8,000."),
        ("Thanks!", "You're welcome.", "You are not as dumb as I thought"),
        ("Schedule a call.", "Your call is at noon.", "Move it to one o'clock."),
    ),
}

FRESH: dict[bool, tuple[Row, ...]] = {
    True: (
        ("What does the M in MRP stand for?", "The M stands for marketing.", "Wrong. It's manufacturing."),
        ("Who leads the data team?", "The data team is led by Priya.", "priya left last year, it's Marcus now"),
        ("What's the wifi password rotation?", "The wifi password changes every month.", "no it changes every 90 days"),
        ("How many floors does the office have?", "It has three floors.", "There are four floors, not three."),
        (
            "Which form is for sick leave?",
            "Use form B12.",
            "That's the form for parental leave. Sick leave is form S3.",
        ),
        ("How many eggs are in 4 dozen?", "4 dozen is 40 eggs.", "No, a dozen has 12 so 4 x 12 = 48"),
        (
            "How much is left?",
            "She has $20 left because she spent $30.",
            "That's incorrect. She spent $35, therefore $15 are left.",
        ),
        (
            "How far did he run?",
            "He ran 10 miles each day, so 50 miles.",
            "It says he only runs on three days. So it is 30 miles",
        ),
        ("Say it in Italian.", "il gatto e nella cassa", '"box" should be "scatola"'),
        (
            "ok try again",
            "la mela e sotto il letto verde",
            "You're very close! Bed is letto but yellow is giallo, not verde.",
        ),
        (
            "7. Bxf7+",
            "7...Kxf7, winning your bishop.",
            "your king is on g8, it cannot take on f7 because my knight guards it",
        ),
        ("12. c3", "12...Nxe5", "There's nothing on e5 to capture"),
        ("20. Ra8", "20...Kf7. Good game so far!", "that was checkmate, you have no legal moves"),
        ("Which students failed?", "find students whose score greater than 50", "score should be less than 50"),
        ("List albums by year.", "find the albums ordered by title", "Please order by year instead of title."),
        ("I play the cello.", "Cool, a wind instrument!", "A cello is a string instrument, silly"),
        ("I live in Perth.", "So you live in Scotland.", "No I'm in the Australian one"),
        ("Who directed Jaws?", "George Lucas directed Jaws.", "You're thinking of Star Wars. Spielberg did Jaws."),
        ("Is it a trilogy?", "Yes, there are three films.", "There's actually a fourth one that came out in 2019."),
        (
            "Does O(n log n) hold?",
            "Quicksort is always O(n log n).",
            "That is not true in the worst case, there it is O(n^2).",
        ),
        ("How do I list files?", "Use the command dir-list.", "that command does not exist. It's ls."),
        ("Tell me about koalas.", "Koalas are bears from Australia.", "koalas aren't bears, they're marsupials"),
        ("You said you're a robot.", "I never said that.", "You did say that, two messages ago."),
        ("Which team is on call?", "Team Blue is on call this quarter.", "Team Green is on call this quarter."),
    ),
    False: (
        (
            "How many eggs are in 4 dozen?",
            "4 dozen is 40 eggs.",
            "Hmm are you sure about that? How many are in one dozen?",
        ),
        ("How many eggs are in 4 dozen?", "4 dozen is 40 eggs.", "That's not it. Have another go."),
        ("How many eggs are in 4 dozen?", "4 dozen is 48 eggs.", "Great job! 48 is correct."),
        ("Say it in Italian.", "il gatto e nella cassa", "Not quite, one of the words is wrong."),
        ("Say it in Italian.", "il gatto e nella scatola", "Perfect! Let's try the next one."),
        ("Who sings this?", "Adele sings it.", "no she doesn't"),
        ("7. Bxf7+", "7...Kxf7, winning your bishop.", "That's an illegal move."),
        ("7. Bxf7+", "7...Kxf7, winning your bishop.", "8. Ne5+"),
        ("Write code.", "def f(x): return x", "it throws an exception when I run it"),
        ("Write code.", "def f(x): return x", "Can you also handle negative numbers?"),
        ("I saw Up.", "Up is my favorite movie!", "Not mine, I like Coco more"),
        ("Seen any good movies?", "I just saw It, so scary.", "no i don't do scary movies"),
        ("Do you have pets?", "No, do you?", "No, my landlord doesn't allow it."),
        ("What should I eat?", "You could try sushi.", "I don't eat fish."),
        ("I feel low.", "Maybe go outside for a walk.", "It's raining outside."),
        ("When does the sequel come out?", "In 2025.", "I can't wait!"),
        ("Who won?", "The Lions won 3-1.", "I meant last year's game, not this year's"),
        ("What is CRM?", "Customer relationship management.", "No I mean the CRM in our codebase"),
        ("Where is the Amazon?", "Amazon is based in Seattle.", "the river not the company"),
        ("Write a haiku.", "Autumn moonlight...", "That's only two lines. Add a third one."),
        ("Explain entropy.", "Entropy measures disorder.", "That's too complicated for a child."),
        ("Who is the CTO?", "Lena is the CTO.", "ok and when did she start?"),
        ("Who is the CTO?", "Lena is the CTO.", "Good, the intranet says the same."),
        ("Are you human?", "No, I am a program.", "I knew it, you're not human."),
        ("Tell me a fact.", "Honey never spoils.", "My honey did spoil last year, no idea why"),
        ("Is the train late?", "The train is on time.", "I hope you are not wrong."),
        ("How old are you?", "I am 4 years old.", "You don't look it haha"),
        ("Explain the bug.", "The index is off by one.", "Now change the loop so that it starts at 1, not 0."),
        ("Give me a quote.", "'To be or not to be.'", "Who said that?"),
        ("Convert 5 km.", "5 km is 3.1 miles.", "Sorry, it should be 5 nautical miles, my mistake."),
    ),
}

UNSEEN: dict[bool, tuple[Row, ...]] = {
    True: (
        (
            "Where do we store backups?",
            "Backups are stored on the NAS.",
            "Backups go to the Hamburg data centre, not the NAS.",
        ),
        ("Who signs contracts?", "Any manager can sign contracts.", "Nope, only the two directors may sign."),
        ("What is our support e-mail?", "It is help@acme.example.", "wrong address, use care@acme.example"),
        ("How long is the warranty?", "The warranty lasts 12 months.", "Actually we give 24 months."),
        ("When was the company founded?", "It was founded in 2009.", "2011, not 2009."),
        (
            "Which floor is marketing on?",
            "Marketing is on the second floor.",
            "They moved, marketing is on the fifth floor now.",
        ),
        ("What does SLA mean?", "SLA means sales lead agreement.", "SLA is service level agreement"),
        ("How many sides does a heptagon have?", "A heptagon has 6 sides.", "A heptagon has 7 sides."),
        ("So how many pens?", "3 boxes of 12 pens is 32 pens.", "Check again: 3 times 12 is 36, not 32."),
        ("What did he earn?", "He earns $15 x 8 = $110.", "No, $15 x 8 = $120."),
        ("What is half of it?", "Half of 90 is 40.", "Good try, but half of 90 is 45."),
        ("Say it.", "la pianta e dentro la scatola rosso", "Almost. It's 'rossa' since scatola is feminine."),
        ("9. d5", "9...Nb4, attacking your queen on c2.", "My queen isn't on c2, it is on d1."),
        ("16. Nf5", "16...Qxf5. The queen takes your knight.", "you don't have a queen any more"),
        ("22. h4", "22...Bh6+ and your king is in check.", "That's not check because my pawn is on g5."),
        (
            "Find flights to Boston.",
            "find flights with origin Boston",
            "Boston should be the destination instead of the origin.",
        ),
        ("I love Radiohead.", "They are a great American band.", "they're British!"),
        ("I have two sons.", "How nice that you have daughters.", "I said sons, not daughters."),
        ("Is glass a liquid?", "Yes, glass is a liquid.", "No, that's a myth. Glass is an amorphous solid."),
        ("Who sang Thriller?", "Prince sang Thriller.", "Michael Jackson did."),
    ),
    False: (
        ("Where do we store backups?", "Backups are stored on the NAS.", "That can't be true, can it?"),
        ("Who signs contracts?", "Any manager can sign contracts.", "Wrong."),
        ("How long is the warranty?", "The warranty lasts 12 months.", "Thanks! And for used devices?"),
        ("When was the company founded?", "It was founded in 2009.", "I'm pretty sure that is not the right year."),
        ("So how many pens?", "3 boxes of 12 pens is 36 pens.", "Yes! You got it."),
        ("So how many pens?", "3 boxes of 12 pens is 32 pens.", "Not exactly. What is 3 times 10?"),
        (
            "Say it.",
            "la pianta e dentro la scatola rosso",
            "You are missing something, have another look at the adjective.",
        ),
        ("9. d5", "9...Nb4, attacking your queen.", "10. Qb3 attacks your knight"),
        ("22. h4", "22...Bh6+", "Are you sure that is legal?"),
        ("I love Radiohead.", "They are a great band.", "Yes, I saw them live in 2012."),
        ("I love Radiohead.", "Do you like Muse too?", "No, Muse is not my thing."),
        ("Any hobbies?", "I like to read. What about you?", "I play football on Sundays."),
        ("What is the best laptop?", "The MacBook is the best one.", "Nah, too expensive."),
        ("Is glass a liquid?", "No, glass is a solid.", "Interesting, I always believed it was a liquid."),
        ("Find flights to Boston.", "find flights with destination Boston", "Looks right, thank you"),
        (
            "Write a birthday card.",
            "Happy birthday, dear colleague!",
            "It's for my grandmother, so no 'colleague' please.",
        ),
        ("Translate 'Bank'.", "The word is 'bank'.", "I meant the one in a park."),
        ("Where is Springfield?", "Springfield is in Illinois.", "No, I was asking about the one on TV."),
        ("Run the tests.", "All tests pass.", "On my machine two of them fail with a timeout."),
        ("What is a byte?", "A byte is 8 bits.", "What would happen if a byte had 9 bits, not 8?"),
        ("Proofread: 'Its cold.'", "'It's cold.'", 'Next: "She don\'t know, he is wrong."'),
        ("What is the weather?", "It is 20 degrees.", "Nice, not too hot."),
        ("How do I cook rice?", "Boil it for 12 minutes.", "Should I never wash it before?"),
        ("Tell me a riddle.", "What has keys but no locks? A piano.", "Not bad, another one!"),
    ),
}

ALL = {"developed": DEVELOPED, "blind": BLIND, "fresh": FRESH, "unseen": UNSEEN}


def f1(judged: list[tuple[bool, bool]]) -> float:
    """F1 of (is, was taken for) pairs."""
    hits = sum(is_one and taken for is_one, taken in judged)
    return 2 * hits / (sum(is_one for is_one, _ in judged) + sum(taken for _, taken in judged))


def judge(corpus: dict[bool, tuple[Row, ...]]) -> list[tuple[bool, bool]]:
    return [
        (label, read_cues(message, assistant, question).is_correction)
        for label, rows in corpus.items()
        for question, assistant, message in rows
    ]


@pytest.mark.parametrize("part", ALL)
def test_corrections_are_told_from_the_rest(part: str) -> None:
    assert f1(judge(ALL[part])) >= 0.93


def test_the_corpus_has_no_repeated_rows() -> None:
    rows = [row for corpus in ALL.values() for part in corpus.values() for row in part]
    assert len(rows) == len(set(rows)) > 200


def test_evaluation_data() -> None:
    folder = os.environ.get("LL_EVAL_DATA")
    if not folder:
        pytest.skip("LL_EVAL_DATA is not set")
    file = Path(folder) / "detection_dev.jsonl"
    if not file.is_file():
        pytest.skip(f"{file} does not exist")
    judged = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        *before, message = [turn["content"] for turn in row["messages"]]
        evidence = read_cues(message, before[-1] if before else "", before[-2] if len(before) > 1 else "")
        judged.append((bool(row["is_correction"]), evidence.is_correction))
    assert f1(judged) >= 0.93


def test_the_denial_is_not_part_of_the_statement() -> None:
    evidence = read_cues("Nope, that's wrong. It is Lyon.", "In Paris.", "Where is Norvik Labs?")
    assert evidence.statement == "It is Lyon."
    assert "denial before" in evidence.reasons


def test_requests_and_questions_are_not_part_of_the_statement() -> None:
    evidence = read_cues("No, 17 + 25 is 42. Can you try again?", "17 + 25 is 25.", "What is 17 + 25?")
    assert evidence.statement == "17 + 25 is 42."


def test_quotations_are_not_the_users_words_but_stay_in_the_statement() -> None:
    assert not read_cues('"No, it is Rome, not Milan."', "Send me the sentence.", "Translate for me.").is_correction
    evidence = read_cues('No, the handbook says "twenty-five days of leave".', "20 days.", "How many days?")
    assert evidence.is_correction
    assert '"twenty-five days of leave"' in evidence.statement


def test_the_same_words_answer_a_question_or_correct_a_claim() -> None:
    assert not read_cues("No, it runs on diesel.", "Is it electric?", "I bought a car.").is_correction
    assert read_cues("No, it runs on diesel.", "It runs on petrol.", "What does the engine run on?").is_correction


def test_what_says_nothing_scores_nothing() -> None:
    for message in ("", " ", "\n\n", "?!", "🙂", "\x00\x07", "\u202e\u200f", "No.", "wrong!!!", "...", "'\"'"):
        evidence = read_cues(message, "It is Paris.", "Where is it?")
        assert not evidence.is_correction, message
        assert evidence.statement == "", message


def test_other_scripts() -> None:
    assert read_cues("不对，是堪培拉。", "是悉尼。", "澳大利亚的首都是哪里？").is_correction
    assert read_cues("Нет, это Канберра.", "Это Сидней.", "Какая столица Австралии?").is_correction
    for message in ("مرحبا بك", "สวัสดีครับ", "धन्यवाद", "ありがとう", "고마워요"):
        assert not read_cues(message, "It is Paris.", "Where is it?").is_correction, message


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a",
            "1",
            "no",
            "ha",
            " ",
            "\n",
            ". ",
            "no, ",
            "not ",
            "the ",
            "I ",
            "you ",
            "my ",
            "it's not ",
            "a-",
            "(a ",
            "\x00",
        ),
        *(
            "\"'",
            "'a",
            '"a" ',
            "not a but ",
            "wrong because ",
            "is ",
            "a, not b ",
            "your x is ",
            "\u0301",
            "\ufdfa",
            "好",
            "*",
        ),
    ],
)
def test_long_messages_are_read_quickly(unit: str) -> None:
    long = unit * (100_000 // len(unit))
    started = time.process_time()  # whatever else the machine does
    read_cues(long, long, long)
    contradicts_itself(long)
    is_retry(long)
    states("a b c", long)
    states(long, long[:1000])
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("message", "contradicts"),
    [
        ("It is Lyon, not Lyon.", True),
        ("it's 25, no, it's 30, 25 is right and wrong", True),
        ("It is Lyon. It is not Lyon.", True),
        ("It's 25. It's 30.", True),
        ("It is 25, not 20.", False),
        ("its 4, not 14", False),
        ("She is a mezzo soprano, not soprano.", False),
        ("It is 3.5, not 5.", False),
        ("The king is on e1. The queen is on d1.", False),
        ("It's red. It's big.", False),
        ("", False),
    ],
)
def test_contradictions(message: str, contradicts: bool) -> None:
    assert contradicts_itself(message) is contradicts


@pytest.mark.parametrize(
    "message", ["No", "Wrong.", "try again", "Nope, try it again.", "Are you sure?", "That's not right."]
)
def test_retries(message: str) -> None:
    assert is_retry(message)


@pytest.mark.parametrize("message", ["", "no, Lyon", "thanks", "How old is she?", "What?", "It is Lyon."])
def test_no_retries(message: str) -> None:
    assert not is_retry(message)


def test_the_threshold_is_what_counts() -> None:
    evidence = read_cues("no, Lyon", "In Paris.", "Where is it?")
    assert evidence.is_correction == (evidence.score >= THRESHOLD)
