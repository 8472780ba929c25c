-- What a clip shows: the kind of each class, and from these one category per clip.
--
-- Upstream has no such column. This is a definition, not a measurement: it reads class names as words. To have another, copy this
-- file, change it, and name yours (`--category my.sql`). A definition is one or two SELECTs, the first ended by a semicolon:
--
--   1. Kinds.       Columns class_id, kind: at most one row per row of `classes`. A class left out has the kind "other".
--   2. Categories.  Columns clip_id, category: one row for each clip with clip_id >= $lo AND clip_id < $hi. Others are kept.
--                   It may read `class_kinds` (the rows of the first) and every table of the catalog. It is run for one range
--                   of clips after another, so every table it reads by clip should be cut to $lo and $hi.
--
-- A file with only the first keeps the second of this file, to which kinds of other names are entities and not listed in `kinds`.
--
-- Kinds of this file: human (one), people (several: a plural, or a word such as "crowd"), face, body (a part of one), animal,
-- vehicle, food, plant, clothing (what is worn, jewellery and glasses too), object, text (writing, logos), scene (places, ground,
-- sky, buildings), other (no word of the name is known).
--
-- The rule: a name falls into pieces at prepositions and at verbs such as "wearing". The first piece that has a known word
-- decides, and in it the last known word, several words together before one alone: "a red sports car on the road" is a car, "man
-- in a hat" a man, "group of people" people, "cup of tea" a cup, "hot dog" food. Plurals in -s, -es, -ies, -ves, -men count as their
-- word; a plural of human is people.
--
-- How well it does. Against the folders of the 320 reference pictures of OpenS2V-Eval (person, thing, place): 319 agree, and of its 81
-- class labels one is unknown ("Chiken"); the lists were written with these labels at hand, so that flatters. Against WordNet 3.1: of
-- the 1,695 words below that it has, 87% have the same field in their most frequent sense and 98% in some sense. Of the real sample's
-- ten phrases all are known. What share of all of upstream's are has not been measured.

WITH lists(kind, words) AS (VALUES
    ('human', '
        actor actress adult anchor artist assistant astronaut athlete author baby baker ballerina barber barista bartender
        biker blonde boxer boy boyfriend bride bridesmaid brother brunette builder businessman businesswoman butcher
        camera_operator cameraman carpenter cashier caucasian chef child clown coach colleague comedian commentator
        conductor construction_worker cook cop cosplayer cowboy cowgirl craftsman customer cyclist dad dancer dentist dj
        doctor driver drummer elder electrician employee engineer entrepreneur farmer father female fighter figure
        firefighter fisherman friend gamer gardener geisha gentleman girl girlfriend goalkeeper golfer grandfather grandma
        grandmother grandpa groom guard guest guitarist guy gymnast hairdresser hiker host hostess human hunter husband
        individual infant influencer instructor interviewee interviewer jogger journalist judge kid king knight lady lawyer
        lecturer lifeguard male man manager mechanic mermaid model mom monk mother motorcyclist musician narrator neighbor
        newborn newlywed newscaster nun nurse officer opponent painter parent participant passenger patient pedestrian
        performer person photographer pianist pilot pirate player poet police_officer policeman policewoman politician
        potter preacher pregnant_woman presenter priest prince princess professor queen rapper referee reporter researcher
        rider runner sailor salesman samurai santa santa_claus scientist scuba_diver seller senior servant shopper singer
        sister skateboarder skater skier snowboarder soldier son speaker spectator sportsman sportswoman staff_member
        stranger student superhero surfer surgeon swimmer tailor teacher technician teen teenager therapist toddler tourist
        trainer traveler vendor veterinarian violinist visitor vlogger volunteer waiter waitress warrior weightlifter welder
        wife witch woman worker wrestler yogi youth youtuber'),
    ('people', '
        people crowd audience couple family team staff band choir public orchestra twin trio children men women ladies
        gentlemen babies persons folks police passersby bystander onlooker'),
    ('face', '
        face head human_face human_head headshot portrait'),
    ('body', '
        abdomen ankle arm arms back beard belly body braid buttock cheek chest chin ear elbow eye eyebrow eyelash
        facial_hair feet finger fingernail fingertip fist foot forearm forehead hair haircut hairstyle hand heel hip jaw
        knee leg lip lower_body moustache mouth mustache nail neck nose palm pigtail ponytail shoulder skin smile stomach
        tattoo teeth thigh throat thumb toe tongue tooth torso upper_body waist wrist'),
    ('animal', '
        alligator alpaca animal ant antelope ape badger bat bear beaver bee beetle bird bison boar buffalo bug bull bunny
        butterfly calf camel canary cat caterpillar cattle cheetah chick chicken chimpanzee chipmunk clownfish cobra
        cockatoo cockroach cod coral cow coyote crab creature cricket crocodile crow cub deer dinosaur dog doggy dolphin
        donkey dove dragon dragonfly duck duckling eagle elephant elk emu falcon fawn feline ferret fish flamingo fly foal
        fox frog gazelle gecko geese giraffe goat goldfish goose gorilla grasshopper guinea_pig gull hamster hare hawk
        hedgehog hen heron hippo hippopotamus hornet horse hummingbird hyena iguana insect jaguar jellyfish kangaroo kitten
        kitty koala koi ladybug lamb lemur leopard lion lioness lizard llama lynx macaw magpie mammal manatee meerkat mice
        mole monkey moose mosquito moth mouse mule octopus opossum orangutan orca ostrich otter owl ox oxen panda panther
        parakeet parrot peacock pelican penguin pet pheasant pig pigeon piglet polar_bear pony porcupine prawn primate puppy
        python quail rabbit raccoon ram rat raven reindeer reptile rhino rhinoceros robin rooster salamander scorpion
        sea_lion seagull seahorse seal shark sheep shrimp sloth slug snail snake sparrow spider squid squirrel starfish
        stingray stork swan tadpole tiger toad tortoise toucan turkey turtle vulture wallaby walrus wasp weasel whale
        wildlife wolf wombat woodpecker worm yak zebra'),
    ('vehicle', '
        aeroplane aircraft airliner airplane airship ambulance atv automobile barge bicycle bike biplane boat bulldozer bus
        cab camper canoe car caravan cargo_ship carriage cart chariot chopper convertible crane cruise_ship dirt_bike drone
        dump_truck excavator ferry fire_engine fire_truck forklift go_kart gondola helicopter hot_air_balloon hovercraft
        jeep jet jet_ski kayak limousine locomotive lorry minivan moped motor motorbike motorboat motorcycle pickup_truck
        plane police_car raft rickshaw rocket rv sailboat scooter sedan ship sled sledge sleigh snowmobile space_shuttle
        spacecraft spaceship speedboat sports_car submarine suv tank taxi tractor trailer train tram trolley truck tuk_tuk
        van vehicle vessel wagon yacht'),
    ('food', '
        appetizer apple apricot asparagus avocado bacon bagel baguette banana basil bean beef beer berry beverage biscuit
        blueberry bread breakfast broccoli broth brownie bun burger burrito butter cabbage cake candy cappuccino caramel
        carrot cauliflower celery cereal champagne cheese cheesecake cherry chili chili_powder chips chocolate cinnamon
        cocktail coconut coffee cookie corn cracker cream croissant cucumber cupcake curry dessert dim_sum dinner dish donut
        dough doughnut dressing drink dumpling egg eggplant espresso fig flour food french_fries fries fruit garlic garnish
        ginger grape gravy ham hamburger herb honey hot_dog ice_cream icing ingredient jam jelly juice kebab ketchup kiwi
        lasagna latte lemon lemonade lettuce lime liquor lobster lollipop lunch macaron mango marshmallow mayonnaise meal
        meat meatball melon milk milkshake mint muffin mushroom mustard noodle nut oatmeal oil olive omelette onion orange
        orange_juice oyster pancake papaya parsley pasta pastry patty pea peach peanut pear pepper pickle pie pineapple
        pizza plum pomegranate popcorn pork porridge potato pretzel pudding pumpkin radish raspberry rice roll salad salmon
        salsa salt sandwich sauce sausage seafood seasoning sesame smoothie snack soda soup spaghetti spice spinach
        sprinkles steak stew strawberry sugar sushi sweet_potato syrup taco tart tea toast tofu tomato topping tortilla tuna
        turmeric vegetable waffle walnut watermelon wheat whiskey wine yogurt yolk zucchini'),
    ('plant', '
        bamboo blossom bonsai bouquet branch bush cactus christmas_tree daisy fern flower flower_arrangement foliage
        greenery hedge houseplant ivy lavender leaf lily lotus moss orchid palm_tree petal plant potted_plant reed rose
        sapling seaweed seedling shrub stem succulent sunflower tree tulip twig vine weed wreath'),
    ('clothing', '
        accessory apron armor backpack bag balaclava bandana bathrobe beanie belt beret bikini blazer blouse boot bow
        bow_tie bowtie bra bracelet brooch cap cape cardigan choker cloak clothes clothing coat collar costume crown denim
        dress dungarees earring eyeglasses face_mask fedora footwear fur garment glasses glove goggles gown hairband hairpin
        handbag hat headband headdress headgear headpiece headscarf headwear helmet high_heel hijab hood hoodie jacket jean
        jeans jersey jewellery jewelry jumper jumpsuit kimono lace_top lanyard legging leggings life_jacket life_vest
        lingerie loafer mask medal miniskirt mitten necklace necktie nightgown outfit overall overalls pajamas pant pants
        pantyhose pendant pocket_square polo poncho pullover purse pyjamas raincoat ring robe romper saree sari sash scarf
        shawl shirt shoe shorts skirt sleeve slipper sneaker sock spectacles stocking suit suit_jacket sunglasses suspenders
        sweater sweatpants sweatshirt swimsuit swimwear t_shirt tank_top tiara tie tights top trousers trunks tshirt tunic
        turban turtleneck tutu tuxedo underwear uniform veil vest visor wallet watch wedding_dress wig wristband wristwatch'),
    ('object', '
        action_figure air_conditioner album amplifier antenna appliance aquarium armchair arrow artwork ashtray axe
        baby_carriage ball balloon bandage banknote barbecue barbell barrel baseball baseball_bat basket basketball bath_tub
        bathtub battery beach_ball bead beam bed bell bench bin binder binoculars bird_house birdhouse blanket blender blind
        block board book bookcase bookshelf bottle bottle_cap bowl box boxing_glove brick briefcase broom brush bucket bulb
        bullet button cabinet cable cage calculator calendar camcorder camera can candle cane canvas card cardboard carpet
        cello certificate chain chair chalice chalk chandelier chess chess_piece chest_of_drawers chip chisel chopping_board
        chopstick cigar cigarette clarinet clipboard clock cloth coffee_machine coffee_maker coin comb compass computer
        computer_mouse cone console container controller cooker cooler cord cosmetics couch counter counter_top countertop
        cover cradle crate crayon crib cross crystal cube cubes cuff cup cupboard curtain cushion cutlery cutting_board cymbal
        dart dashboard decoration desk desktop device diamond dice dishwasher display doll door door_handle doorknob drawer
        drawing dresser drill drum drum_kit drumstick dumbbell dvd earbud earphone easel electronic_device engine envelope
        equipment eraser eyeliner fan faucet feather figurine file film fire fire_extinguisher fireplace firework
        fishing_rod flag flame flashlight flask flute folder football fork frame fridge frisbee fry_machine frying_pan fuel
        funnel furniture gadget game game_controller garbage_can gauge gear gem gift gift_box glass globe glue gold
        golf_ball golf_club grill guitar gun hairbrush hairdryer hammer hammock handle handlebar harmonica harp headphone
        headset hoop hose hula_hoop ice_cube incense instrument iron item jar jigsaw joystick jug kettle key keyboard kite
        knife knob knot ladder ladle lamp lamppost lantern laptop lawn_mower leash lens letter lever lid light light_bulb
        lighter lighting lightsaber lipstick lock locker log machine magazine magic_cube magnet magnifying_glass makeup map
        marble marker mascara mat match mattress measuring_cup medicine metal microphone microscope microwave mirror mixer
        mobile_phone money monitor mop mouse_pad mug musical_instrument napkin needle net newspaper notebook nozzle oar
        object ornament oven package packet pad paddle paint paint_roller paintbrush painting palette pan paper paper_towel
        parachute parcel pedal pen pencil perfume phone photo photo_frame photograph piano picture picture_frame pill pillow
        pin ping_pong_ball pipe piping_bag pitcher plaque plastic plastic_bag plate platter plug plywood podium pole
        pool_table pot powder present printer product projector prop propeller pump puppet puzzle rack racket radio razor
        record_player refrigerator remote remote_control ribbon robot rocking_chair rod roller rolling_pin rope rubber
        rubik_cube rug ruler saddle sail saw saxophone scale scissors screen screw screwdriver sculpture seat seatbelt
        sewing_machine sheet shelf shell shield shovel shower_head sieve sink skateboard skewer ski skull slide smartphone
        snare_drum snowball snowboard snowman soap soccer_ball sofa solar_panel soldering_iron spatula sponge spool spoon
        spray_bottle spray_can stand staple stapler statue steering_wheel stethoscope stick sticker stool stopwatch stove
        strap straw street_lamp street_light stroller stuffed_animal suitcase surfboard sword syringe table table_top
        tablecloth tablet tabletop tambourine tape teapot teddy_bear teddybear telephone telescope television tennis_ball
        tennis_racket tent test_tube thermometer thread tile tire tissue toaster toilet tool toolbox toothbrush torch towel
        toy toy_car traffic_light trash trash_can tray treadmill treasure tripod trophy trumpet tube turntable tv tweezers
        typewriter ukulele umbrella urn usb utensil vacuum_cleaner vase vial video_camera vinyl vinyl_record violin
        volleyball wand washing_machine watering_can weapon weight wheel wheelchair whisk whistle whiteboard wind_chime
        window windshield wine_glass wire wok wrench yarn yo_yo yoga_mat zipper'),
    ('text', '
        banner billboard caption graphic headline icon inscription label lettering license_plate logo number poster sign
        signage signboard subtitle text title traffic_sign watermark word writing'),
    ('scene', '
        airfield airport aisle alley apartment arch architecture area arena attic backdrop background backyard balcony bar
        barn basketball_court bathroom bay beach bedroom boardwalk brick_wall bridge building cabin cafe cafeteria campsite
        campus canal canyon carpark castle cathedral cave ceiling cemetery church city cityscape classroom cliff cloud club
        coast coastline column concert construction_site corner corridor cottage countryside court courtroom courtyard
        crosswalk dam dance_floor deck desert dirt dock driveway dune earth elevator entrance environment factory farm
        farmland fence field floor football_field forest fountain galaxy gallery garage garden gate glacier grass grassland
        grassy_area gravel green_screen greenhouse ground gym hall hallway harbor highway hill hillside hilltop home horizon
        hospital hotel house hut ice indoor interior island jungle kitchen lab laboratory lake land landscape lawn library
        livingroom lobby mall market meadow moon mountain mountain_range mountain_top museum night_sky ocean office
        open_space outdoor park parking_lot path pathway patio pavement pavilion pier pitch place planet playground plaza
        pond pool porch port prison puddle pyramid racetrack rail railing railroad railway rain ramp restaurant ridge river
        riverbank road roadside rock rocky_terrain roof rooftop room ruins runway sand scene scenery school sea seabed
        seascape seashore seaside setting shop shore shoreline shrine sidewalk ski_slope skies sky skyline skyscraper slope smoke
        snow soil space square stadium stage stair staircase star station step stone store storm stream street structure
        studio suburb subway summit sun sunlight sunrise sunset supermarket surface surrounding swamp swimming_pool temple
        tennis_court terrace terrain theater theatre tower town track traffic trail tunnel underwater university valley
        vegetation village volcano walkway wall warehouse water waterfall wave wedding wilderness windmill wood woodland
        woods workshop yard')
),
entries AS (SELECT kind, unnest(regexp_split_to_array(trim(words, E' \n'), '\s+')) AS word FROM lists),
known AS (
    SELECT DISTINCT ON (form) form, kind
    FROM (
        SELECT word AS form, kind, false AS is_plural FROM entries
        UNION ALL
        SELECT
            unnest([
                word || 's', word || 'es', regexp_replace(word, 'y$', 'ies'), regexp_replace(word, 'fe?$', 'ves'),
                regexp_replace(word, 'man$', 'men')
            ]),
            if(kind = 'human', 'people', kind),
            true
        FROM entries
    )
    ORDER BY form, is_plural, kind
),
pieces AS (
    SELECT class_id, unnest(cut) AS piece, generate_subscripts(cut, 1) AS piece_at
    FROM (
        SELECT class_id, regexp_split_to_array(
            ' ' || trim(regexp_replace(lower(name), '[^\pL\pN]+', ' ', 'g')) || ' ',
            ' (of|with|in|on|at|by|from|for|to|inside|under|over|near|behind|beside|next|that|who|which|is|are'
                || '|wearing|holding|riding|sitting|standing|walking) '
        ) AS cut
        FROM classes
    )
),
words AS (
    SELECT class_id, piece_at, unnest(split) AS word, generate_subscripts(split, 1) AS word_at, split
    FROM (SELECT *, string_split(trim(piece), ' ') AS split FROM pieces)
),
found AS (
    SELECT class_id, known.kind, -piece_at AS piece_rank, word_at, 1 AS num_words FROM words JOIN known ON known.form = words.word
    UNION ALL
    SELECT class_id, known.kind, -piece_at, word_at, 2 FROM words JOIN known ON known.form = split[word_at - 1] || '_' || word
    UNION ALL
    SELECT class_id, known.kind, -piece_at, word_at, 3
    FROM words JOIN known ON known.form = split[word_at - 2] || '_' || split[word_at - 1] || '_' || word
)
SELECT class.class_id, coalesce(kinds.kind, 'other') AS kind
FROM classes AS class
LEFT JOIN (
    SELECT class_id, arg_max(kind, (piece_rank, word_at, num_words)) AS kind FROM found GROUP BY class_id
) AS kinds USING (class_id);

-- The seven categories are those of OpenS2V-Eval, told from what is seen and from nothing else:
--
--   single-face, multi-face       people, at least one of whom is named by face or head, and no entity
--   single-body, multi-body       people, none of them so named, and no entity
--   human-entity                  people and an entity
--   single-entity, multi-entity   entities and nobody
--   scene                         only scenery or writing
--   other                         subjects, but none of these: parts of a body alone
--   none                          no subject
--
-- An entity is an animal, vehicle, food, plant, object or a name with no known word; clothing is one where nobody is there to
-- wear it. There are several (multi) where a name says so ("people"), where an entity stands beside clothing, or where boxes differ:
-- what all boxes of the bodies, of the faces, of the entities or of the clothing share is less than 0.7 of the smallest box around
-- them. (One thing is often detected under several names, and those boxes overlap by 0.8 and more: rows cannot be counted.)
-- The benchmark tells a face from a body by the picture it gives. A name seldom tells it, so too many clips are "body" here.
--
-- How well it does on the 180 prompts, their labels as subjects side by side: 128 as the benchmark has them, 173 where face and body are
-- one. Missed: all 45 of faces (labelled "Man" and "Woman"), 6 where clothing is to be an entity of its own beside its wearer, and one
-- where a person is to be an entity. The real sample's clip, three people outdoors, is "multi-body".
--
-- Columns: clip_id, category; kinds, those of the clip's subjects in the order of the list above, each once.
WITH classified AS (
    SELECT
        class_id,
        1 << (list_position(
            ['human', 'people', 'face', 'body', 'animal', 'vehicle', 'food', 'plant', 'clothing', 'object', 'text', 'scene', 'other'], kind
        ) - 1) AS kind_bit,
        CASE
            WHEN kind IN ('human', 'people') THEN 'person'
            WHEN kind IN ('face', 'body', 'clothing') THEN kind
            WHEN kind IN ('text', 'scene') THEN 'scenery'
            ELSE 'entity'
        END AS part,
        kind = 'people' AS is_several
    FROM (SELECT class_id, coalesce(kind, 'other') AS kind FROM classes LEFT JOIN class_kinds USING (class_id))
),
-- One row per clip and part of the picture. (32 filtered aggregates per clip instead of 8 per part cost a quarter more CPU.)
parts AS (
    SELECT
        clip_id,
        part,
        bit_or(kind_bit) AS kind_bits,
        coalesce(
            bool_or(is_several)
            OR box_area(max(x1), max(y1), min(x2), min(y2)) < 0.7 * box_area(min(x1), min(y1), max(x2), max(y2)),
            false
        ) AS are_several
    FROM subjects JOIN classified USING (class_id)
    WHERE clip_id >= $lo AND clip_id < $hi
    GROUP BY clip_id, part
),
seen AS (
    SELECT
        clip_id,
        bit_or(kind_bits) AS kind_bits,
        bool_or(part = 'person') AS has_body,
        bool_or(part = 'face') AS has_face,
        bool_or(part = 'entity') AS has_entity,
        bool_or(part = 'clothing') AS has_clothing,
        bool_or(part = 'scenery') AS has_scenery,
        bool_or(part = 'person' AND are_several) AS are_bodies_several,
        bool_or(part = 'face' AND are_several) AS are_faces_several,
        bool_or(part IN ('entity', 'clothing') AND are_several) AS are_entities_several
    FROM parts
    GROUP BY clip_id
),
told AS (
    SELECT
        clip.clip_id,
        kind_bits,
        CASE
            WHEN seen.clip_id IS NULL THEN 'none'
            WHEN has_entity AND (has_body OR has_face) THEN 'human-entity'
            WHEN has_face THEN if(if(has_body, are_bodies_several, are_faces_several), 'multi-face', 'single-face')
            WHEN has_body THEN if(are_bodies_several, 'multi-body', 'single-body')
            WHEN has_entity AND has_clothing THEN 'multi-entity'
            WHEN has_entity OR has_clothing THEN if(are_entities_several, 'multi-entity', 'single-entity')
            WHEN has_scenery THEN 'scene'
            ELSE 'other'
        END AS category
    FROM (SELECT clip_id FROM clips WHERE clip_id >= $lo AND clip_id < $hi) AS clip
    LEFT JOIN seen USING (clip_id)
    ORDER BY clip.clip_id
)
SELECT
    clip_id,
    category,
    coalesce(list_filter(
        ['human', 'people', 'face', 'body', 'animal', 'vehicle', 'food', 'plant', 'clothing', 'object', 'text', 'scene', 'other'],
        lambda kind, place: (kind_bits >> (place - 1)) & 1 = 1
    ), []) AS kinds
FROM told
